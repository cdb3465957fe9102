#!/bin/sh
# `npm test`: types and style are checked beside the tests, behind them in line for the processor, and said in one piece.
{ said=$(nice -n 19 npm run --silent check 2>&1) || { printf '%s\n' "$said"; exit 1; }; } &
npm run --silent unit -- "$@"
tested=$?
wait $! || { echo 'Types or style are at fault: npm run check' >&2; exit 1; }
exit $tested
