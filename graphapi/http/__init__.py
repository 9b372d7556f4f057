"""HTTP: `app` has the routes. `view` answers GraphQL and `graphiql` its page, `media` pictures, `exports` files."""
