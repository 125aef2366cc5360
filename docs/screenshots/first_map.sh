#!/usr/bin/env bash
# The first map in QGIS itself, in a profile that nobody has used: first_map.sh ZIP SCENE PICTURES [WHEELHOUSE]
# Prints clicks and seconds of each step. Needs QGIS, xvfb and xauth.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
home="$(mktemp -d)"
mkdir -p "$home/runtime" "$3"
chmod 700 "$home/runtime"
export RSGEO_ZIP="$(realpath "$1")" RSGEO_SCENE="$(realpath "$2")" RSGEO_PICTURES="$(realpath "$3")"
export RSGEO_WHEELHOUSE="${4:+$(realpath "$4")}" HOME="$home" XDG_RUNTIME_DIR="$home/runtime" PATH=/usr/bin:/bin
unset RSGEO_PYTHON RSGEO_HOME VIRTUAL_ENV QT_QPA_PLATFORM
xvfb-run -a -s "-screen 0 1200x760x24" qgis.bin --nologo --noversioncheck --profiles-path "$home/profiles" \
  --code "$here/first_map.py" > "$home/log" 2>&1 || true
cat "$RSGEO_PICTURES/first-map.json" || tail -20 "$home/log"
sleep 1
rm -rf "$home"
