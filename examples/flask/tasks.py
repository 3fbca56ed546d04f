"""The jobs. The web processes and the worker import this module."""

from identtqueue import App, Context, RetryPolicy

app = App()  # its address: IDENTTQUEUE_REDIS_ADDRESS, else redis://localhost:6379


# A text without words will not get better: such an error is not retried.
@app.task(queue="documents", retry=RetryPolicy(max_retries=3, give_up_on=(ValueError,)))
def count_words(ctx: Context, text: str) -> int:
    """Count the words of a text."""
    words = text.split()
    if not words:
        raise ValueError("there is no word")
    return len(words)
