"""The words of Strava's account export in the languages in which it writes them: headers, months, sports.

Header names as found in exports and in programs that read them: English, Portuguese, German, Spanish, French,
Italian and Dutch (`competition` is translated). `folded` makes spelling variants equal, so each is listed once.
"""

from __future__ import annotations

import re
import unicodedata


def folded(text: str) -> str:
    """Lower case without accents, apostrophe variants, full stops and repeated or no-break spaces."""
    text = unicodedata.normalize("NFKD", text.replace("’", "'")).casefold()
    text = "".join(character for character in text if not unicodedata.combining(character))
    return re.sub(r"\s+", " ", text.replace(".", " ")).strip()


SEXES = {
    **dict.fromkeys(["f", "w", "female", "woman", "weiblich", "frau", "femme", "donna", "femmina", "vrouw"], "F"),
    **dict.fromkeys(["feminino", "femenino", "feminin", "mulher", "mujer", "vrouwelijk"], "F"),
    **dict.fromkeys(["m", "male", "man", "mannlich", "mann", "homme", "uomo", "maschio", "homem", "hombre"], "M"),
    **dict.fromkeys(["masculino", "masculin", "mannelijk"], "M"),
}
"""What profiles say, and people of themselves; `folded`. Other words leave the sex unknown."""

REQUIRED = ("id", "date", "sport", "elapsed_time", "distance")
"""The fields without which a file is not an export."""

_HEADERS: dict[str, tuple[str, ...]] = {
    "id": (
        "Activity ID",
        "ID da atividade",
        "Aktivitäts-ID",
        "ID de actividad",
        "ID de la actividad",
        "ID de l'activité",
        "ID attività",
        "ID dell'attività",
        "Activiteits-ID",
    ),
    "date": (
        "Activity Date",
        "Data da atividade",
        "Aktivitätsdatum",
        "Fecha de la actividad",
        "Fecha de actividad",
        "Date de l'activité",
        "Data dell'attività",
        "Data attività",
        "Datum van activiteit",
    ),
    "sport": (
        "Activity Type",
        "Tipo de atividade",
        "Aktivitätsart",
        "Aktivitätstyp",
        "Tipo de actividad",
        "Type d'activité",
        "Tipo attività",
        "Tipo di attività",
        "Activiteitstype",
    ),
    "elapsed_time": (
        "Elapsed Time",
        "Tempo decorrido",
        "Verstrichene Zeit",
        "Tiempo transcurrido",
        "Temps écoulé",
        "Tempo trascorso",
        "Verstreken tijd",
    ),
    "moving_time": (
        "Moving Time",
        "Tempo de movimentação",
        "Tempo em movimento",
        "Bewegungszeit",
        "Tiempo en movimiento",
        "Durée de déplacement",
        "Tempo in movimento",
        "Beweegtijd",
    ),
    "distance": ("Distance", "Distância", "Distanz", "Distancia", "Distanza", "Afstand"),
    "elevation_gain": (
        "Elevation Gain",
        "Ganho de elevação",
        "Höhenzunahme",
        "Desnivel positivo",
        "Dénivelé positif",
        "Dislivello",
        "Dislivello positivo",
        "Totale stijging",
        "Hoogtewinst",
    ),
    "average_heartrate": (
        "Average Heart Rate",
        "Frequência cardíaca média",
        "Durchschnittliche Herzfrequenz",
        "Ritmo cardíaco promedio",
        "Frecuencia cardíaca media",
        "Fréquence cardiaque moyenne",
        "Frequenza cardiaca media",
        "Gemiddelde hartslag",
    ),
    "max_heartrate": (
        "Max Heart Rate",
        "Frequência cardíaca máxima",
        "Max. Herzfrequenz",
        "Ritmo cardíaco máximo",
        "Frecuencia cardíaca máxima",
        "Fréquence cardiaque max.",
        "Frequenza cardiaca massima",
        "Frequenza cardiaca max",
        "Max. hartslag",
        "Maximale hartslag",
    ),
    "file": (
        "Filename",
        "Nome do arquivo",
        "Nome do ficheiro",
        "Dateiname",
        "Nombre del archivo",
        "Nombre de archivo",
        "Nom du fichier",
        "Nome del file",
        "Nome file",
        "Bestandsnaam",
    ),
    "from_upload": (
        "From Upload",
        "Von Upload",
        "À partir du téléchargement",
        "Van upload",
    ),
    "workout_type": ("Workout Type",),
    "competition": (
        "Competition",
        "Competição",
        "Wettkampf",
        "Competición",
        "Compétition",
        "Competizione",
        "Wedstrijd",
    ),
    "grade_adjusted_distance": (
        "Grade Adjusted Distance",
        "Auf Steigung angepasste Distanz",
        "Distance ajustée selon la pente",
    ),
    "perceived_exertion": (
        "Perceived Exertion",
        "Gefühlte Anstrengung",
        "Effort ressenti",
        "Ervaren inspanning",
    ),
    "weighted_power": (
        "Weighted Average Power",
        "Gewichtete durchschnittliche Leistung",
        "Puissance moyenne pondérée",
    ),
    "trainer": ("Trainer",),
}

# the layout of 2018, whose single distance is in metres
_SNAKE_HEADERS = {
    "id": "id",
    "date": "date",
    "type": "sport",
    "elapsed_time": "elapsed_time",
    "distance": "distance",
    "filename": "file",
}

HEADERS = {folded(name): field for field, names in _HEADERS.items() for name in names}
ENGLISH = frozenset(folded(names[0]) for names in _HEADERS.values())
SNAKE = {folded(name): field for name, field in _SNAKE_HEADERS.items()}

_MONTHS = (
    "jan january janeiro januar janner ene enero janv janvier gen gennaio januari",
    "feb february fev fevereiro februar febrero fevr fevrier febbraio februari",
    "mar march marco marz maerz marzo mars mrt maart",
    "apr april abr abril avr avril aprile",
    "may mai maio mayo mag maggio mei",
    "jun june junho juni junio juin giu giugno",
    "jul july julho juli julio juil juillet lug luglio",
    "aug august ago agosto aout augustus",
    "sep sept september set setembro septiembre setiembre septembre settembre",
    "oct october out outubro okt oktober octubre octobre ott ottobre",
    "nov november novembro noviembre novembre",
    "dec december dez dezembro dezember dic diciembre decembre dicembre",
)
MONTHS = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names.split()}

# Strava's own names of sports, and what exports call them
_SPORTS: dict[str, str] = {
    "AlpineSki": "Alpine Ski|Ski alpino|Alpinski|Ski alpin|Esquí alpino|Sci alpino|Alpineskiën|Alpine skiën",
    "BackcountrySki": "Backcountry Ski|Ski de travessia|Skitour|Esquí de montaña|Ski de randonnée|Sci alpinismo",
    "Badminton": "Badminton|Bádminton",
    "Canoeing": "Canoe|Canoeing|Canoagem|Kanufahren|Piragüismo|Canoë|Canoa|Kanoën",
    "Crossfit": "Crossfit|CrossFit",
    "EBikeRide": "E-Bike Ride|EBike Ride|Pedalada de e-bike|Pedalada em e-bike|E-Bike-Fahrt|E-Bike-Einheit"
    "|Bicicleta eléctrica|Vélo électrique|Sortie en vélo électrique|Pedalata in e-bike|E-bikerit|E-biketocht",
    "EMountainBikeRide": "E-Mountain Bike Ride|EMountainBike Ride|E-Mountainbike-Fahrt|Pedalada de e-mountain bike",
    "Elliptical": "Elliptical|Elíptico|Elíptica|Ellipsentrainer|Crosstrainer|Elliptique|Vélo elliptique|Ellittica",
    "Golf": "Golf|Golfe",
    "GravelRide": "Gravel Ride|Pedalada de gravel|Pedalada em gravel|Gravelbike-Fahrt|Gravel-Fahrt|Gravelrit",
    "Handcycle": "Handcycle|Handbike|Handbike-Fahrt",
    "HighIntensityIntervalTraining": "High Intensity Interval Training|HIIT",
    "Hike": "Hike|Trilha|Caminhada na natureza|Wanderung|Wandern|Senderismo|Excursión|Caminata de montaña|Randonnée"
    "|Escursione|Escursionismo|Hiken|Trektocht",
    "IceSkate": "Ice Skate|Patinação no gelo|Eislaufen|Patinaje sobre hielo|Patinage sur glace|Schaatsen",
    "InlineSkate": "Inline Skate|Patins inline|Patinação inline|Inlineskaten|Inlineskating|Patinaje en línea|Roller",
    "Kayaking": "Kayaking|Kayak|Caiaque|Kajakfahren|Kajakken",
    "Kitesurf": "Kitesurf|Kitesurfen|Kitesurfing",
    "MountainBikeRide": "Mountain Bike Ride|Pedalada de mountain bike|Mountainbike-Fahrt|Mountainbikefahrt|VTT"
    "|Ciclismo de montaña|Bicicleta de montaña|Mountainbikerit|Mountainbiken|Uscita in mountain bike",
    "NordicSki": "Nordic Ski|Ski nórdico|Esqui nórdico|Langlauf|Skilanglauf|Esquí nórdico|Ski nordique|Sci di fondo"
    "|Sci nordico|Langlaufen",
    "Padel": "Padel|Pádel",
    "Pickleball": "Pickleball",
    "Pilates": "Pilates",
    "Racquetball": "Racquetball",
    "Ride": "Ride|Pedalada|Ciclismo|Radfahrt|Radeinheit|Fahrt|Radfahren|Bicicleta|Vuelta en bicicleta"
    "|Salida en bicicleta|Vélo|Sortie à vélo|Sortie vélo|Sortie en vélo|Uscita in bici|Giro in bici|Pedalata|Fietsrit",
    "RockClimbing": "Rock Climb|Rock Climbing|Escalada em rocha|Escalada|Klettern|Escalada en roca|Escalade"
    "|Arrampicata|Klimmen|Rotsklimmen",
    "RollerSki": "Roller Ski|Rollerski|Skiroller",
    "Rowing": "Rowing|Remo|Rudern|Aviron|Canottaggio|Roeien",
    "Run": "Run|Corrida|Lauf|Laufen|Carrera|Carrera a pie|Course à pied|Course|Corsa|Hardloopsessie|Hardlopen",
    "Sail": "Sail|Sailing|Vela|Segeln|Voile|Zeilen",
    "Skateboard": "Skateboard|Skate",
    "Snowboard": "Snowboard|Snowboarden",
    "Snowshoe": "Snowshoe|Raquetes de neve|Schneeschuhwandern|Raquetas de nieve|Raquettes|Ciaspolata",
    "Soccer": "Soccer|Football (Soccer)|Futebol|Fußball|Fútbol|Football|Calcio|Voetbal",
    "Squash": "Squash",
    "StairStepper": "Stair-Stepper|Stair Stepper|Simulador de escada|Treppensteiger|Escaladora|Stepper",
    "StandUpPaddling": "Stand Up Paddling|Stand Up Paddle|Stand-up paddle|Stand-Up-Paddling|SUP|Suppen",
    "Surfing": "Surfing|Surf|Surfe|Surfen",
    "Swim": "Swim|Natação|Schwimmen|Schwimmeinheit|Natación|Natation|Nuoto|Zwemmen|Zwemsessie",
    "TableTennis": "Table Tennis|Tênis de mesa|Tischtennis|Tenis de mesa|Tennis de table|Tafeltennis",
    "Tennis": "Tennis|Tênis|Ténis|Tenis",
    "TrailRun": "Trail Run|Corrida em trilha|Corrida de trilha|Corrida de trail|Trail|Traillauf|Trail-Lauf|Trailrun"
    "|Trailrunning|Trail running|Carrera de montaña|Carrera por montaña|Carrera de trail|Course de trail"
    "|Corsa su sentiero|Corsa in montagna|Trailloop",
    "Velomobile": "Velomobile|Velomóvel|Velomobil",
    "VirtualRide": "Virtual Ride|Pedalada virtual|Ciclismo virtual|Virtuelle Radfahrt|Virtuelles Radfahren"
    "|Virtuelle Radeinheit|Bicicleta virtual|Vélo virtuel|Sortie virtuelle|Pedalata virtuale|Uscita in bici virtuale"
    "|Virtuele fietsrit",
    "VirtualRow": "Virtual Row|Remo virtual|Virtuelles Rudern",
    "VirtualRun": "Virtual Run|Corrida virtual|Virtueller Lauf|Carrera virtual|Course virtuelle|Corsa virtuale"
    "|Virtuele hardloopsessie",
    "Walk": "Walk|Caminhada|Spaziergang|Gehen|Caminata|Paseo|Marche|Camminata|Passeggiata|Wandeling|Wandelen",
    "WeightTraining": "Weight Training|Treinamento com peso|Treinamento com pesos|Treino com pesos|Musculação"
    "|Gewichtstraining|Krafttraining|Entrenamiento con pesas|Pesas|Musculation|Entraînement aux poids et haltères"
    "|Allenamento con i pesi|Allenamento pesi|Krachttraining",
    "Wheelchair": "Wheelchair|Cadeira de rodas|Rollstuhl|Silla de ruedas|Fauteuil roulant|Sedia a rotelle|Rolstoel",
    "Windsurf": "Windsurf|Windsurfen|Windsurfing",
    "Workout": "Workout|Treino|Training|Entrenamiento|Entraînement|Allenamento|Ejercicio|Exercício",
    "Yoga": "Yoga|Ioga",
}
SPORTS = {folded(name): sport for sport, names in _SPORTS.items() for name in (sport, *names.split("|"))}
