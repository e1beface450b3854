-- Throws all rollups away, at once: whoever asks next is answered from the events.
truncate rollup_coverage, rollup_facts, rollup_segments
