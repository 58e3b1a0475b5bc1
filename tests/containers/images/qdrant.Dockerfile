# Stands in for qdrant/qdrant: the stand-in server of the tests, which is not Qdrant and says so, on the environment of the
# worker's image. Folders, command and ports are as in the official image.
# The latest is what was built just before; it is never pulled.
# hadolint ignore=DL3007
FROM facesearch/worker:latest
# As in the official image.
# hadolint ignore=DL3002
USER 0:0
WORKDIR /qdrant
COPY qdrant_server.py entrypoint.sh ./
COPY qdrant_standin qdrant_standin
RUN install --directory storage snapshots
HEALTHCHECK NONE
EXPOSE 6333 6334
CMD ["./entrypoint.sh"]
