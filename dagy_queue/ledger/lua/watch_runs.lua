-- Read some fields of runs and of the batches they belong to. ARGV: number of the runs' fields, these, number of the
-- batches' fields, these, then run ids. The first of the runs' fields is the batch. Returns {values of each run, {batch
-- id, values} of each batch}; values as a JSON list each, which is the quickest to read, and '' for what there is not.
local at = 1

local function take_names()
  local names, count = {}, tonumber(ARGV[at])
  for i = 1, count do names[i] = ARGV[at + i] end
  at = at + count + 1
  return names
end

local function read(key, names)
  local values = redis.call('HMGET', key, unpack(names))
  for i = 1, #names do values[i] = values[i] or '' end
  return cjson.encode(values), values[1]
end

local own, shared = take_names(), take_names()
local runs, batches, seen = {}, {}, {}
for i = at, #ARGV do
  local values, batch = read(run_key(ARGV[i]), own)
  runs[#runs + 1] = values
  if batch ~= '' and not seen[batch] then
    seen[batch] = true
    batches[#batches + 1] = { batch, (read(batch_key(batch), shared)) }
  end
end
return { runs, batches }
