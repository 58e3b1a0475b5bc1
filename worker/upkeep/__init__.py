"""Work beside jobs: removing dropped collections and old faces, writing backups, importing persons, erasing."""
