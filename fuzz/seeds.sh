#!/bin/sh
# Writes the inputs that fuzzing starts from: one of each kind, so that the fuzzer need not find out what there is.
# fuzz_targets/log_reader.rs says how inputs are read.
set -eu
cd "$(dirname "$0")/seeds/log_reader"

# `%b` understands \0 and three octal digits.
seed() {
    name=$1
    shift
    printf '%b' "$@" >"$name"
}
# Behind every step of a program: how much is read at once, and from where. Twice where the log is opened first.
read='\0144\0003\0001'
opened=$read$read
append="\0000\0005\0004$read"

# Kind 0: number of files; each the number in its name, its length, a shift of that, and so many bytes.
header='TALLYLOG\0001\0000\0000\0000\0000\0000\0000\0000\0000\0000\0000\0000\0000\0000\0000\0000\0106\0262\0202\0376'
seed raw_header_alone '\0000\0001\0000\0034\0000' "$header"
seed raw_cut_header '\0000\0001\0000\0012\0000TALLYLOG\0001\0000'

# Kind 1: first number and number of segments less one; each with lies, salt, number of records, and garbage behind;
# each record with lies, length and payload. Lie 8 stands for the same group as the record before, 16 for damage.
whole='\0000\0007\0002\0000\0005first\0010\0006second\0000'
seed framed_three_segments '\0001\0000\0002' "$whole" "$whole" "$whole"
seed framed_torn_group '\0001\0000\0000\0000\0007\0002\0020\0004torn\0010\0005whole\0000'
seed framed_damage_before_a_later_group '\0001\0000\0000\0000\0007\0002\0020\0006broken\0000\0005later\0000'
seed framed_impossible_length '\0001\0000\0000\0000\0007\0001\0001\0004long\0365\0000'
seed framed_last_numbers '\0001\0321\0001' "$whole" "$whole"

# Kind 2: steps.
seed program_close "\0002$read" "$append$append" "\0005$opened" "$append"
seed program_trim "\0002$read" "\0000\0077\0077\0076$read\0000\0077\0077\0076$read\0000\0077\0077\0076$read" "\0004\0310$read"
seed program_stop "\0002$read" "$append$append" "\0006$opened" "$append"
seed program_torn_append "\0002$read" "$append" "\0007\0005\0004\0001\0000\0001\0000\0001\0000\0001\0003$opened" "$append"
seed program_flipped_bit "\0002$read" "$append$append" "\0010\0000\0014\0000\0002$opened"
seed program_cut_end "\0002$read" "$append$append" "\0011\0011$opened" "$append"
