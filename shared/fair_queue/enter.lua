-- Put a job into the line of its tenant, and release what may run.
-- ARGV: tenant, job id, item (as `item` of the package makes it).
local tenant, job, item = ARGV[1], ARGV[2], ARGV[3]
forget(tenant, job)
redis.call('LPUSH', line_of(tenant), item)
redis.call('LPUSH', HELD, '')
if not redis.call('ZSCORE', WAITING, tenant) then
  redis.call('ZADD', WAITING, digits(virtual_time(tenant)), tenant)
end
release()
