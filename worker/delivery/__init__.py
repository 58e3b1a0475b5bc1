"""Additions to Celery's delivery of jobs: fair queueing, redelivery, time limits and a lost broker."""
