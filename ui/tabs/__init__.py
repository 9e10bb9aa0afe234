"""The page's tabs, a file each: `build(page)` puts its components on the page and binds them."""
