-- Put a job into the line of its tenant, and release what may run. Where no job waits and a thread is free it is released
-- at once, without a line.
-- ARGV: tenant, job id, item (as `item` of the package makes it).
local tenant, job, item = ARGV[1], ARGV[2], ARGV[3]
forget(tenant, job)
if redis.call('EXISTS', WAITING, line_of(tenant)) == 0 then
  drop_overdue()
  local ordinary, more = released()
  if ordinary + more < slots() then
    local _, deadline, message = parts(item)
    if tonumber(deadline) > now then
      start(tenant, job, deadline, message, digits(virtual_time(tenant)), QUEUE, 'fs:fair:out')
    end
    return
  end
end
redis.call('LPUSH', line_of(tenant), item)
redis.call('LPUSH', HELD, '')
if not redis.call('ZSCORE', WAITING, tenant) then
  redis.call('ZADD', WAITING, digits(virtual_time(tenant)), tenant)
end
release()
