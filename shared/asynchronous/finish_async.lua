-- Keep the outcome of an asynchronous job, unless it has one. Returns 1 if the job ended now, else 0.
-- ARGV: job id, outcome, its status, day (YYYY-MM-DD).
return finish(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
