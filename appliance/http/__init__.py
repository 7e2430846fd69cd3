"""HTTP interface: routes, middleware, problem documents, the server."""
