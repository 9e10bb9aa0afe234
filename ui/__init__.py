"""The studio: the page in the browser that shows what the gateway does. It knows the gateway by its public API only."""
