#!/usr/bin/env bash
# Makes table.rs beside it, of what the systemd installed here knows: run it after a new release. For
# several, so that no option is called unknown that one of them knows, say how each is run:
#   table.sh /lib/systemd/systemd 'chroot /var/cache/fleet-lab/trixie /lib/systemd/systemd'
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- /lib/systemd/systemd

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
  versions=$(for systemd; do $systemd --version | sed q; done | paste -sd '+' | sed 's/+/ and /g')
  cat <<HEAD
//! The options that these know: $versions.
//! Made by \`table.sh\` of \`--dump-configuration-items\`; change that, not this.

/// Sections, and the options that each of them has, both separated by blanks.
#[rustfmt::skip]
pub(super) const OPTIONS: &[(&str, &str)] = &[
HEAD
  for systemd; do $systemd --dump-configuration-items; done | grouped | while IFS=$'\t' read -r sections names; do
    printf '    ("%s", "\\\n' "$sections"
    fold --spaces --width=88 <<<"$names" | sed 's/^/        /; s/ *$/ \\/; $s/ \\$/"),/'
  done
  echo '];'
} >table.rs
