-- Lease deliveries that are due to a gateway: the longest due of each tenant, a few of each. Returns alternately tenants
-- and job ids.
-- ARGV: most deliveries, most of one tenant, seconds of the lease, then tenants to leave out.
-- Constants: those of common.lua.
local left, of_one, lease = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local left_out = {}
for i = 4, #ARGV do left_out[ARGV[i]] = true end
local claimed = {}
for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', TENANTS, '-inf', as_text(moment))) do
  if left <= 0 then break end
  if not left_out[tenant] then
    local due = DUE .. tenant
    local most = math.min(left, of_one)
    for _, job in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', as_text(moment), 'LIMIT', 0, most)) do
      redis.call('ZADD', due, as_text(moment + lease), job)
      table.insert(claimed, tenant)
      table.insert(claimed, job)
      left = left - 1
    end
    plan(tenant)
  end
end
return claimed
