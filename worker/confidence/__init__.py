"""What confidences stand for: the cosines of false accept rates, and how often strangers of one facedb reach them."""
