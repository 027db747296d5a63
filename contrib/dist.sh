#!/bin/bash
# Builds dist/: a static archive for each architecture with the program, man pages and
# completions, and SHA256SUMS. usage: contrib/dist.sh VERSION COMMIT
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 commit=$2
export CGO_ENABLED=0
rm -rf dist && mkdir dist
for arch in amd64 arm64; do
	blob=internal/guest/blob/guest-linux-$arch
	GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$blob" ./cmd/ringwall-guest
	sha256sum "$blob" | cut -d' ' -f1 > "$blob.sha256"
	dir=dist/ringwall-$version-linux-$arch
	mkdir -p "$dir/man" "$dir/completions"
	GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -o "$dir/ringwall" \
		-ldflags "-s -w -X github.com/ringwall/ringwall/internal/version.Version=$version -X github.com/ringwall/ringwall/internal/version.Commit=$commit" \
		./cmd/ringwall
	go run ./contrib/man "$dir/man"
	for shell in bash zsh fish; do go run ./cmd/ringwall completion "$shell" > "$dir/completions/ringwall.$shell"; done
	cp LICENSE NOTICE README.md "$dir"
	tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime='@0' -czf "$dir.tar.gz" "$(basename "$dir")"
	rm -r "$dir"
done
(cd dist && sha256sum -- *.tar.gz > SHA256SUMS)
ls -l dist
