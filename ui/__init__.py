"""The studio, a page in the browser in front of a gateway. It uses nothing but the gateway's public API."""
