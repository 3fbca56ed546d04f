#!/usr/bin/env bash
# Tesseract, which reads the pages of the demonstration, and the fonts that they are printed in. If it is
# missing, it comes from Debian's packages (as root) or Homebrew; elsewhere it is named.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../e2e/cluster/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/cluster/lib.sh"

main() {
  if command -v tesseract >/dev/null; then
    return
  elif command -v apt-get >/dev/null; then
    need_root "installing tesseract-ocr"
    quietly "Debian packages: tesseract-ocr and fonts" \
      install_packages tesseract-ocr fonts-dejavu-core fonts-liberation
  elif command -v brew >/dev/null; then
    quietly "Homebrew: tesseract" brew install --quiet tesseract
  else
    die "please install Tesseract with its English data (https://tesseract-ocr.github.io)"
  fi
}

main "$@"
