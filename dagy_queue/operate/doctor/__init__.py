"""``dagy-queue doctor``: looking at everything that runs need, and saying how to mend what is not as it should be."""
