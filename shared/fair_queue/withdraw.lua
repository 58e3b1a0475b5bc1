-- Take a job out of its line or its queue; one that a worker has taken stays with the worker.
-- ARGV: tenant, job id, item (as `item` of the package makes it), message.
local tenant, job, item, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('LREM', line_of(tenant), 1, item) == 1 then
  redis.call('RPOP', HELD)
  if redis.call('LLEN', line_of(tenant)) == 0 then redis.call('ZREM', WAITING, tenant) end
elseif redis.call('LREM', QUEUE, -1, message) + redis.call('LREM', EXTRA, -1, message) > 0 then
  forget(tenant, job)
end
release()
