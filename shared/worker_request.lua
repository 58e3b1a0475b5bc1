-- Renew or withdraw a request to a worker if it is still ours. Returns whether it is: 1 or 0.
-- KEYS: request.
-- ARGV: the request as we made it, seconds for which it stands from now on (0: withdraw it).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
