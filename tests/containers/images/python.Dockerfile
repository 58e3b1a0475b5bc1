# Stands in for python:3.11-slim-bookworm: the Python of Debian 12 under the names that the official image has.
FROM facesearch-stand-in/debian:bookworm
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man \
 && ln -s /usr/bin/python3.11 /usr/local/bin/python \
 && ln -s /usr/bin/python3.11 /usr/local/bin/python3
COPY pip.conf /etc/pip.conf
CMD ["python3"]
