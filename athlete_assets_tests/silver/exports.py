"""Synthetic Strava exports: Strava's layouts, invented activities."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

HEADER = """\
Activity ID,Activity Date,Activity Name,Activity Type,Activity Description,Elapsed Time,Distance,Max Heart Rate,\
Relative Effort,Commute,Activity Private Note,Activity Gear,Filename,Athlete Weight,Bike Weight,Elapsed Time,\
Moving Time,Distance,Max Speed,Average Speed,Elevation Gain,Elevation Loss,Elevation Low,Elevation High,\
Max Heart Rate,Average Heart Rate,Calories,Relative Effort,Type,Start Time,Commute,From Upload,Flagged,\
Competition,Long Run,Media"""
ENGLISH = HEADER.split(",")

TRANSLATED: dict[str, dict[str, str]] = {
    "English": {},
    "Portuguese": {
        "Activity ID": "ID da atividade",
        "Activity Date": "Data da atividade",
        "Activity Name": "Nome da atividade",
        "Activity Type": "Tipo de atividade",
        "Elapsed Time": "Tempo decorrido",
        "Distance": "Distância",
        "Max Heart Rate": "Frequência cardíaca máxima",
        "Filename": "Nome do arquivo",
        "Moving Time": "Tempo de movimentação",
        "Elevation Gain": "Ganho de elevação",
        "Average Heart Rate": "Frequência cardíaca média",
    },
    "German": {
        "Activity ID": "Aktivitäts-ID",
        "Activity Date": "Aktivitätsdatum",
        "Activity Name": "Name der Aktivität",
        "Activity Type": "Aktivitätsart",
        "Elapsed Time": "Verstrichene Zeit",
        "Distance": "Distanz",
        "Max Heart Rate": "Max. Herzfrequenz",
        "Filename": "Dateiname",
        "Moving Time": "Bewegungszeit",
        "Elevation Gain": "Höhenzunahme",
        "Average Heart Rate": "Durchschnittliche Herzfrequenz",
        "From Upload": "Von Upload",
    },
    "Spanish": {
        "Activity ID": "ID de actividad",
        "Activity Date": "Fecha de la actividad",
        "Activity Name": "Nombre de la actividad",
        "Activity Type": "Tipo de actividad",
        "Elapsed Time": "Tiempo transcurrido",
        "Distance": "Distancia",
        "Max Heart Rate": "Ritmo cardiaco máximo",
        "Filename": "Nombre del archivo",
        "Moving Time": "Tiempo en movimiento",
        "Elevation Gain": "Desnivel positivo",
        "Average Heart Rate": "Ritmo cardíaco promedio",
    },
    "French": {
        "Activity ID": "ID de l'activité",
        "Activity Date": "Date de l'activité",
        "Activity Name": "Nom de l'activité",
        "Activity Type": "Type d'activité",
        "Elapsed Time": "Temps écoulé",
        "Max Heart Rate": "Fréquence cardiaque max.",
        "Filename": "Nom du fichier",
        "Moving Time": "Durée de déplacement",
        "Elevation Gain": "Dénivelé positif",
        "Average Heart Rate": "Fréquence cardiaque moyenne",
    },
    "Italian": {
        "Activity ID": "ID attività",
        "Activity Date": "Data dell’attività",
        "Activity Name": "Nome attività",
        "Activity Type": "Tipo attività",
        "Elapsed Time": "Tempo trascorso",
        "Distance": "Distanza",
        "Max Heart Rate": "Frequenza cardiaca massima",
        "Filename": "Nome del file",
        "Moving Time": "Tempo in movimento",
        "Elevation Gain": "Dislivello",
        "Average Heart Rate": "Frequenza cardiaca media",
    },
    "Dutch": {
        "Activity ID": "Activiteits-ID",
        "Activity Date": "Datum van activiteit",
        "Activity Name": "Naam activiteit",
        "Activity Type": "Activiteitstype",
        "Elapsed Time": "Verstreken tijd",
        "Distance": "Afstand",
        "Max Heart Rate": "Max. hartslag",
        "Filename": "Bestandsnaam",
        "Moving Time": "Beweegtijd",
        "Elevation Gain": "Totale stijging",
        "Average Heart Rate": "Gemiddelde hartslag",
    },
}

RUN = {
    "Activity ID": "7001",
    "Activity Date": "Jun 9, 2022, 11:19:20 PM",
    "Activity Name": "Round the secret lake",
    "Activity Type": "Run",
    "Activity Description": "with Ada",
    "Elapsed Time": ("3100", "3100.0"),
    "Distance": ("9.44", "9440.5"),
    "Max Heart Rate": ("171.0", "171.0"),
    "Moving Time": "3000.0",
    "Elevation Gain": "42.5",
    "Average Heart Rate": "150.25",
}
"""A run of 9440.5 m; a pair fills the first and the second column of a repeated header."""

Row = Mapping[str, object]


def export(*rows: Row, header: Sequence[str] = ENGLISH, language: str = "English", delimiter: str = ",") -> str:
    """An activities.csv with the rows, whose keys are English headers."""
    words = TRANSLATED[language]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow([words.get(name, name) for name in header])
    for row in rows:
        seen: dict[str, int] = {}
        cells = []
        for name in header:
            nth = seen[name] = seen.get(name, -1) + 1
            value = row.get(name, "")
            cells.append(value[min(nth, len(value) - 1)] if isinstance(value, tuple) else value)
        writer.writerow(cells)
    return text.getvalue()
