"""The Celery side: it takes jobs, runs the models and reads and writes the store."""
