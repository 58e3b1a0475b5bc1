-- Keep the outcome of an asynchronous job, after what else ends a job.
-- ARGV: those of end_job.lua (of which the second is the job id), outcome, its status, day (YYYY-MM-DD).
finish(ARGV[2], ARGV[7], ARGV[8], ARGV[9])
