"""Indonesia's provinces by the names that posts give them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_LINES: Final = """
Aceh: nanggroe aceh | banda aceh, lhokseumawe
Sumatera Utara: sumatra utara, sumut | kota medan, deli serdang
Sumatera Barat: sumatra barat, sumbar | kota padang, bukittinggi
Riau: | pekanbaru
Kepulauan Riau: kepri | batam, tanjungpinang, tanjung pinang
Jambi: | kota jambi
Sumatera Selatan: sumatra selatan, sumsel | palembang
Kepulauan Bangka Belitung: bangka belitung, babel | pangkalpinang, pangkal pinang
Bengkulu: | kota bengkulu
Lampung: | bandar lampung
Daerah Khusus Jakarta: jakarta, dki, dki jakarta, dkj | kepulauan seribu
Jawa Barat: jabar | bandung, bekasi, bogor, depok, cirebon
Banten: | tangerang, tangsel, kota serang, cilegon
Jawa Tengah: jateng | semarang, surakarta, kota solo
Daerah Istimewa Yogyakarta: yogyakarta, diy, jogja, jogjakarta, yogya | sleman, bantul
Jawa Timur: jatim | surabaya, sidoarjo, kota malang
Bali: | denpasar
Nusa Tenggara Barat: ntb | mataram, pulau lombok
Nusa Tenggara Timur: ntt | kupang
Kalimantan Barat: kalbar | pontianak
Kalimantan Tengah: kalteng | palangkaraya, palangka raya
Kalimantan Selatan: kalsel | banjarmasin
Kalimantan Timur: kaltim | samarinda, balikpapan, ikn
Kalimantan Utara: kaltara | tarakan
Sulawesi Utara: sulut | manado
Gorontalo: | kota gorontalo
Sulawesi Tengah: sulteng | kota palu
Sulawesi Barat: sulbar | mamuju
Sulawesi Selatan: sulsel | makassar, makasar
Sulawesi Tenggara: sultra | kendari
Maluku: | ambon
Maluku Utara: malut | ternate
Papua: | jayapura
Papua Barat: | manokwari
Papua Barat Daya: | kota sorong
Papua Selatan: | merauke
Papua Tengah: | nabire
Papua Pegunungan: | wamena
"""


def _names(part: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in part.split(",") if name.strip())


_ALL: Final = {
    name: (_names(short), _names(cities))
    for name, rest in (line.split(":") for line in _LINES.strip().splitlines())
    for short, cities in (rest.split("|"),)
}
PROVINCES: Final = tuple(_ALL)
"""The 38 provinces (Kemendagri 100.1.1-6117 of 2022). Each is known by its short names too, and by
its largest cities; a city whose name is an everyday word ("malang", "palu") needs "kota" before."""
_BY_NAME: Final = {
    name.casefold(): province
    for province, (short, _) in _ALL.items()
    for name in (province, *short)
}


def aliases_of(regions: Collection[str]) -> tuple[str, ...]:
    """Return the names to look for: a province brings its own, any other place only itself.

    A province is meant by its name or a short one; who names a city means the city.
    """
    found: list[str] = []
    for region in regions:
        province = _BY_NAME.get(" ".join(region.casefold().split()))
        if province is None:
            found.append(region)
        else:
            short, cities = _ALL[province]
            found += (province, *short, *cities)
    return tuple(dict.fromkeys(found))
