#!/bin/sh
# As the official image does: options alone are the server's, and a server that root starts runs as valkey.
set -e
case "$1" in -* | *.conf) set -- valkey-server "$@" ;; esac
if [ "$1" = valkey-server ] && [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid=valkey --regid=valkey --clear-groups "$@"
fi
exec "$@"
