#!/usr/bin/env bash
# Makes table.rs beside it, of what the systemd installed here knows: run it after a new release.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
systemd=${1:-/lib/systemd/systemd}

# Groups the options by the sections that have them.
grouped() {
  awk -F= '
    /^\[/ { section = substr($0, 2, length($0) - 2); next }
    NF > 1 && !seen[section, $1]++ { sections[$1] = sections[$1] " " section }
    END { for (name in sections) print substr(sections[name], 2) "\t" name }' |
    sort |
    awk -F'\t' '
      $1 != last { if (last) print last "\t" names; last = $1; names = "" }
      { names = names (names ? " " : "") $2 }
      END { print last "\t" names }'
}

{
  version=$("$systemd" --version | head -n 1)
  cat <<HEAD
//! The options that $version knows. Made by \`table.sh\` of its
//! \`--dump-configuration-items\`; change that, not this.

/// Sections, and the options that each of them has, both separated by blanks.
#[rustfmt::skip]
pub(super) const OPTIONS: &[(&str, &str)] = &[
HEAD
  "$systemd" --dump-configuration-items | grouped | while IFS=$'\t' read -r sections names; do
    printf '    ("%s", "\\\n' "$sections"
    fold --spaces --width=88 <<<"$names" | sed 's/^/        /; s/ *$/ \\/; $s/ \\$/"),/'
  done
  echo '];'
} >table.rs
