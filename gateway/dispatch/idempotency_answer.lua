-- Return 1 if the request is the first that is answered with the record's outcome, or if the record is gone; else 0.
-- KEYS: record.
-- Constants: ANSWERED.
if redis.call('EXISTS', KEYS[1]) == 0 then return 1 end
return redis.call('HSETNX', KEYS[1], ANSWERED, '1')
