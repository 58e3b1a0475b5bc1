-- Put a job into the line of its tenant, and release what may run.
-- ARGV: tenant, job id, item (as `item` of the package makes it).
enter(ARGV[1], ARGV[2], ARGV[3])
