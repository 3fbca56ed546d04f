"""The status and the events of a TaskQueue: `render` composes them, `writer` writes them."""
