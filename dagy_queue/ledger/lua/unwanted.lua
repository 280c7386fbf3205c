-- Have tasks stopped that no run wants. ARGV: task ARNs.
for _, arn in ipairs(ARGV) do owe_stop('task:' .. arn, now_ms()) end
return #ARGV
