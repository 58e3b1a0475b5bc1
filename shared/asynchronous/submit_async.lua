-- Accept an asynchronous job and let it into the fair queue if it is its turn. Returns the id of the job: under an
-- Idempotency-Key that of the earlier one, unless that ended in FAIL; FULL if the tenant may have no more.
-- KEYS: the job, the idempotency record if there is one.
-- ARGV: job id, tenant, deadline, bytes of its images, most jobs of a tenant, most bytes of all images, then alternately
-- fields of the job and their values.
-- Constants: SHARE, FULL, JOB, and those of common.lua.
local job, tenant, bytes, record = ARGV[1], ARGV[2], tonumber(ARGV[4]), KEYS[2]
if record then
  local earlier = redis.call('HGET', record, JOB)
  if earlier and redis.call('EXISTS', key_of(earlier)) == 1 then
    if redis.call('HGET', key_of(earlier), 'status') ~= FAIL then return earlier end
  end
end
local function number(counters, field) return tonumber(redis.call('HGET', counters, field)) or 0 end
if number(COUNTS, tenant) >= tonumber(ARGV[5]) then return FULL end
if bytes > 0 then
  local free = ARGV[6] - number(HELD_BYTES, EVERYBODY) - bytes
  if number(HELD_BYTES, tenant) + bytes > SHARE * free then return FULL end
end
redis.call('HSET', KEYS[1], 'tenant', tenant, 'bytes', bytes, unpack(ARGV, 7))
if record then
  redis.call('HSET', KEYS[1], 'record', record)
  if redis.call('EXISTS', record) == 1 then redis.call('HSET', record, JOB, job) end
end
redis.call('ZADD', ALL, ARGV[3], member_of(tenant, job))
add(COUNTS, tenant, 1)
add(HELD_BYTES, tenant, bytes)
add(HELD_BYTES, EVERYBODY, bytes)
redis.call('LPUSH', LINES .. tenant, job)
let_in(tenant)
return job
