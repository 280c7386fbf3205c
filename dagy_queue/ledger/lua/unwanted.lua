-- Have tasks stopped that no run wants, unless that was asked a short while ago. ARGV: task ARNs.
for _, arn in ipairs(ARGV) do owe_stop_of_unowned(arn) end
return #ARGV
