-- Note how many jobs a worker takes at once, sum up the workers, and release what may run.
-- ARGV: worker id, threads (0: it takes no more jobs), extra threads, seconds for which the announcement holds.
local worker, threads, extra, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if threads > 0 then
  redis.call('HSET', 'fs:fair:workers', worker, threads .. ' ' .. extra .. ' ' .. digits(now + ttl))
else
  redis.call('HDEL', 'fs:fair:workers', worker)
end
local all_threads, all_extra = 0, 0
local announced = redis.call('HGETALL', 'fs:fair:workers')
for at = 1, #announced, 2 do
  local its_threads, its_extra, til = string.match(announced[at + 1], '^(%S+) (%S+) (%S+)$')
  if tonumber(til) < now then
    redis.call('HDEL', 'fs:fair:workers', announced[at])
  else
    all_threads, all_extra = all_threads + its_threads, all_extra + its_extra
  end
end
if all_threads > 0 then
  redis.call('HSET', 'fs:fair:slots', 'threads', all_threads, 'extra', all_extra)
  redis.call('EXPIRE', 'fs:fair:slots', ttl)
else
  redis.call('DEL', 'fs:fair:slots')
end
release()
