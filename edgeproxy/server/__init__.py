"""The viewers' side: HTTP/1.1 by aiohttp's lowest server, to and from the values of `core.message`."""
