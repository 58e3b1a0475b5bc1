"""Work beside jobs: removing dropped collections, writing backups, erasing."""
