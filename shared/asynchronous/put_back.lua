-- Acknowledge a job without an outcome and put it back behind the other jobs of its tenant, after it was reported as done:
-- it stands after done.lua of the fair queue. Its message gets another delivery tag, as the worker that had it forgets the
-- former one later.
-- ARGV: those of done.lua (of which the first two are tenant and job id), delivery tag, another one.
-- Constants: UNACKED, UNACKED_INDEX, and those of common.lua.
redis.call('ZREM', UNACKED_INDEX, ARGV[4])
redis.call('HDEL', UNACKED, ARGV[4])
local item = redis.call('HGET', key_of(ARGV[2]), 'item')
if item then
  local former = string.gsub(ARGV[4], '%-', '%%-')
  local again = string.gsub(item, former, ARGV[5])
  redis.call('HSET', key_of(ARGV[2]), 'item', again, 'tag', ARGV[5])
  redis.call('ZADD', OUT, digits(now), member_of(ARGV[1], ARGV[2]))
  enter(ARGV[1], ARGV[2], again)
end
