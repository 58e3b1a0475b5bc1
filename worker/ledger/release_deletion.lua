-- Let others claim a deletion that this origin holds; nothing happens if another took it over. The origin stays
-- remembered.
-- KEYS: fs:deletion of the face.
-- ARGV: origin.
-- Constants: RELEASED.
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^%x+') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. RELEASED, 'KEEPTTL')
end
