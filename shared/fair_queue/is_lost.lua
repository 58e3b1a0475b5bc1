-- Return 1 if no worker has a job and none will get it, else 0. While any job waits where this one may wait, it may be
-- that one.
-- ARGV: tenant, delivery tag.
-- Constants: QUEUE, EXTRA, LINE_PREFIX, UNACKED.
local waiting = redis.call('LLEN', QUEUE) + redis.call('LLEN', EXTRA)
waiting = waiting + redis.call('LLEN', LINE_PREFIX .. ARGV[1])
if waiting > 0 or redis.call('HEXISTS', UNACKED, ARGV[2]) == 1 then return 0 end
return 1
