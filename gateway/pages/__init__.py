"""Pages for browsers, which the gateway serves from files of this package: the console and the page of the API."""
