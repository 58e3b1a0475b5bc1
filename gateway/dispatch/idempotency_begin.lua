-- Make the idempotency record of a request unless there is one, and forget the tenant's oldest records beyond the most
-- that it may have. Returns what the record says: digest of the request, origin, outcome or nil.
-- KEYS: record, order of the tenant's records.
-- ARGV: digest of the request, request id, seconds to keep the record, SHA-256 of the Idempotency-Key (32 bytes), prefix
-- of the tenant's records, the most records.
-- Constants: ASKED, ORIGIN, OUTCOME, FORGOTTEN.
--
-- An expired record stays in the order until it is the oldest. A new one under the same key is appended once more, and
-- goes a little early if the tenant makes as many records as it may.
local record, order = KEYS[1], KEYS[2]
local said = redis.call('HMGET', record, ASKED, ORIGIN, OUTCOME)
if said[1] then return said end
redis.call('HSET', record, ASKED, ARGV[1], ORIGIN, ARGV[2])
redis.call('EXPIRE', record, ARGV[3])
local length = redis.call('RPUSH', order, ARGV[4])
redis.call('EXPIRE', order, ARGV[3])
for _ = 1, FORGOTTEN do
  local oldest = redis.call('LINDEX', order, 0)
  local key = ARGV[5] .. string.format(('%02x'):rep(#oldest), oldest:byte(1, -1))
  if length <= tonumber(ARGV[6]) and redis.call('EXISTS', key) == 1 then break end
  if key == record then break end
  redis.call('UNLINK', key)
  redis.call('LPOP', order)
  length = length - 1
end
return {ARGV[1], ARGV[2], false}
