-- Enter a run with its message as it is published; ARGV as for publish_run. Returns 1 if it is new, 0 if the ledger has it
-- already.
return publish_run(1, #ARGV) and 1 or 0
