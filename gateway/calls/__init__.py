"""The handlers of the calls: parameters in, an answer out, metered."""
