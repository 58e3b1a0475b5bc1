-- Count a job as done, so that its thread is free, and release what may run.
-- ARGV: tenant, job id, seconds that the job took.
local tenant, job, seconds = ARGV[1], ARGV[2], tonumber(ARGV[3])
forget(tenant, job)
set_virtual_time(tenant, virtual_time(tenant) + seconds - NOMINAL_S)
release()
