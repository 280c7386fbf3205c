-- What waits and what runs, for metrics. ARGV: clusters to look at besides those that runs wait for. Returns {held as
-- {pool, org, runs} ..., in flight as {cluster, org ('' = all), tasks, CPU units} ..., shards that wait in their batches'
-- own queues, runs that wait for a delay, runs in submission, {region, factor of its rates} ...}.
local held, flying, factors, clusters, regions = {}, {}, {}, {}, {}

local function see(cluster)
  clusters[cluster] = true
  regions[region_of(cluster)] = true
end

for _, pool in ipairs(redis.call('ZRANGE', P .. ':pool_turns', 0, -1)) do
  see(cluster_of(pool))
  for _, org in ipairs(redis.call('ZRANGE', rotation_key(pool), 0, -1)) do
    local runs = redis.call('ZCARD', lane_key(pool, org))
    if runs > 0 then held[#held + 1] = { pool, org, runs } end
  end
end

for _, cluster in ipairs(ARGV) do see(cluster) end
for cluster in pairs(clusters) do
  local slots, found = redis.call('HGETALL', P .. ':slots:' .. cluster), {}
  for i = 1, #slots, 2 do
    local kind, org = string.match(slots[i], '^(%a+):?(.*)$')
    found[org] = found[org] or { tasks = 0, cpu = 0 }
    found[org][kind] = tonumber(slots[i + 1])
  end
  for org, each in pairs(found) do flying[#flying + 1] = { cluster, org, each.tasks, each.cpu } end
end

local windowed = 0
for _, batch in ipairs(redis.call('SMEMBERS', P .. ':windowed')) do
  local waiting = redis.call('ZCARD', batch_key(batch) .. ':waiting')
  windowed = windowed + waiting
  if waiting == 0 and redis.call('HEXISTS', batch_key(batch), 'created') == 0 then
    redis.call('SREM', P .. ':windowed', batch)
  end
end

for region in pairs(regions) do
  factors[#factors + 1] = { region, redis.call('HGET', throttle_key(region), 'factor') or '1' }
end
return { held, flying, windowed, redis.call('ZCARD', P .. ':delayed'), redis.call('ZCARD', P .. ':leases'), factors }
