"""Every text of the pages, in each language, and how numbers, days and times are written in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from athlete_assets.formulas.race_times import clock

LANGUAGES: Mapping[str, str] = {"en": "en", "pt": "pt-BR"}
"""By the value of ATHLETE_LANGUAGE, the tag that the pages carry for browsers and screen readers."""

MONTHS: Mapping[str, str] = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "pt": "jan fev mar abr mai jun jul ago set out nov dez",
}
WEEKDAYS: Mapping[str, str] = {"en": "Mon Tue Wed Thu Fri Sat Sun", "pt": "seg ter qua qui sex sáb dom"}

MINUS, UNKNOWN = "−", "–"

TEXTS: Mapping[str, Mapping[str, str]] = {
    # the frame of every page
    "athletes": {"en": "Athletes", "pt": "Atletas"},
    "athlete": {"en": "Athlete", "pt": "Atleta"},
    "as_of": {"en": "As of {day}", "pt": "Situação em {day}"},
    "skip": {"en": "Skip to the content", "pt": "Ir para o conteúdo"},
    "contents": {"en": "On this page", "pt": "Nesta página"},
    "all_athletes": {"en": "All athletes", "pt": "Todos os atletas"},
    "show_table": {"en": "The numbers as a table", "pt": "Os números em tabela"},
    "no_script": {
        "en": "The charts need the script file beside this page; the tables hold the same numbers.",
        "pt": "Os gráficos precisam do arquivo de script ao lado desta página; as tabelas têm os mesmos números.",
    },
    "not_known": {"en": "not known", "pt": "desconhecido"},
    "disclaimer": {
        "en": "Patterns in a training log. Not medical advice, not an injury, not a diagnosis.",
        "pt": "Padrões de um diário de treino. Não é conselho médico, nem lesão, nem diagnóstico.",
    },
    "models": {"en": "Models", "pt": "Modelos"},
    "no_model": {"en": "No model serves yet.", "pt": "Nenhum modelo em uso ainda."},
    # what each number is called
    "fitness": {"en": "Fitness", "pt": "Condicionamento"},
    "fatigue": {"en": "Fatigue", "pt": "Fadiga"},
    "form": {"en": "Form", "pt": "Forma"},
    "ramp": {"en": "Ramp", "pt": "Rampa"},
    "ramp_7d": {"en": "Ramp, 7 days", "pt": "Rampa, 7 dias"},
    "fitness_sub": {"en": "CTL, TSS a day", "pt": "CTL, TSS por dia"},
    "fatigue_sub": {"en": "ATL, TSS a day", "pt": "ATL, TSS por dia"},
    "year_ago": {"en": "a year ago {value}", "pt": "há um ano {value}"},
    "year_ago_unknown": {"en": "a year ago not known", "pt": "há um ano desconhecido"},
    "distance_28d": {"en": "Last 28 days", "pt": "Últimos 28 dias"},
    "distance_year": {"en": "365 days: {value}", "pt": "365 dias: {value}"},
    "last_activity": {"en": "Last activity", "pt": "Última atividade"},
    "today": {"en": "today", "pt": "hoje"},
    "day_ago": {"en": "1 day ago", "pt": "há 1 dia"},
    "days_ago": {"en": "{count} days ago", "pt": "há {count} dias"},
    "no_load": {
        "en": "Not known: no activity of the last 42 days has a load (neither heart rate nor the pace of a run).",
        "pt": "Desconhecido: nenhuma atividade dos últimos 42 dias tem carga (nem frequência cardíaca, nem ritmo).",
    },
    "warmup": {
        "en": "The first 42 days: fitness is still filling up.",
        "pt": "Primeiros 42 dias: o condicionamento ainda está se formando.",
    },
    "form_transition": {"en": "very fresh: fitness is fading", "pt": "muito descansado: o condicionamento cai"},
    "form_fresh": {"en": "fresh: good for a race", "pt": "descansado: bom para competir"},
    "form_grey": {"en": "neutral", "pt": "neutro"},
    "form_productive": {"en": "productive training", "pt": "treino produtivo"},
    "form_heavy": {"en": "heavily loaded: rest is due", "pt": "carga alta: hora de descansar"},
    # the coach's page
    "coach_title": {"en": "Athletes", "pt": "Atletas"},
    "coach_lead": {
        "en": "{count} athletes. Sort by a column's button; an athlete's name opens the page.",
        "pt": "{count} atletas. Ordene pelo botão da coluna; o nome do atleta abre a página.",
    },
    "no_athlete": {
        "en": "No athlete yet: nothing has been computed.",
        "pt": "Nenhum atleta ainda: nada foi calculado.",
    },
    "one_athlete": {"en": "1 athlete. The name opens the page.", "pt": "1 atleta. O nome abre a página."},
    "filter": {"en": "Find an athlete", "pt": "Buscar atleta"},
    "only_risk": {"en": "Only those at risk", "pt": "Só os em risco"},
    "km_28d": {"en": "28 days, km", "pt": "28 dias, km"},
    "weeks_bars": {"en": "26 weeks", "pt": "26 semanas"},
    "risk": {"en": "Risk", "pt": "Risco"},
    "days_since": {"en": "Days since last activity", "pt": "Dias desde a última"},
    "predicted_10k": {"en": "10k predicted", "pt": "10 km previsto"},
    "moved_28d": {"en": "Change, 28 days", "pt": "Mudança, 28 dias"},
    "risk_yes": {"en": "at risk", "pt": "em risco"},
    "risk_no": {"en": "none", "pt": "nenhum"},
    "sorted_by": {"en": "Sorted by {column}", "pt": "Ordenado por {column}"},
    "shown_count": {"en": "{count} shown", "pt": "{count} mostrados"},
    "need_a_look": {"en": "At risk", "pt": "Em risco"},
    "quiet": {"en": "Quiet for over a week", "pt": "Parados há mais de uma semana"},
    "faster": {"en": "10k faster than 28 days ago", "pt": "10 km mais rápido que há 28 dias"},
    "of_count": {"en": "of {count}", "pt": "de {count}"},
    # risk
    "risk_title": {"en": "Risk and its reasons", "pt": "Risco e seus motivos"},
    "rule": {"en": "Overload rule", "pt": "Regra de sobrecarga"},
    "rule_yes": {"en": "Above its limits", "pt": "Acima dos limites"},
    "rule_no": {"en": "Within its limits", "pt": "Dentro dos limites"},
    "rule_unknown": {
        "en": "Not known: fewer than 28 days of history, or too little load",
        "pt": "Desconhecida: menos de 28 dias de histórico, ou carga de menos",
    },
    "reason_acwr": {
        "en": "load of the last week against six weeks (ACWR) {value}, limit {limit}",
        "pt": "carga da última semana contra seis semanas (ACWR) {value}, limite {limit}",
    },
    "reason_training_monotony_7d": {
        "en": "monotony of the last 7 days {value}, limit {limit}",
        "pt": "monotonia dos últimos 7 dias {value}, limite {limit}",
    },
    "reason_short_acwr": {"en": "sudden load", "pt": "carga súbita"},
    "reason_short_training_monotony_7d": {"en": "monotony", "pt": "monotonia"},
    "disruption": {"en": "Chance of a break within 14 days", "pt": "Chance de uma pausa em 14 dias"},
    "disruption_means": {
        "en": "A week without any activity, for whatever reason; not an injury.",
        "pt": "Uma semana sem atividade, por qualquer motivo; não é lesão.",
    },
    "disruption_unknown": {"en": "Not known: {reason}", "pt": "Desconhecida: {reason}"},
    "no_prediction_yet": {"en": "nothing has been predicted yet", "pt": "nada foi previsto ainda"},
    "acwr": {"en": "Acute to chronic load (ACWR)", "pt": "Carga aguda sobre crônica (ACWR)"},
    "monotony": {"en": "Monotony, 7 days", "pt": "Monotonia, 7 dias"},
    "limit": {"en": "limit {value}", "pt": "limite {value}"},
    # charts
    "load_title": {"en": "Training load", "pt": "Carga de treino"},
    "load_alt": {
        "en": "Fitness, fatigue and form by day. On {day}: fitness {ctl}, fatigue {atl}, form {tsb}. Highest fitness "
        "shown: {best} on {best_day}.",
        "pt": "Condicionamento, fadiga e forma por dia. Em {day}: condicionamento {ctl}, fadiga {atl}, forma {tsb}. "
        "Maior condicionamento mostrado: {best} em {best_day}.",
    },
    "zoom": {"en": "Show", "pt": "Mostrar"},
    "zoom_42": {"en": "6 weeks", "pt": "6 semanas"},
    "zoom_182": {"en": "Season", "pt": "Temporada"},
    "zoom_365": {"en": "1 year", "pt": "1 ano"},
    "zoom_all": {"en": "All", "pt": "Tudo"},
    "month": {"en": "Month", "pt": "Mês"},
    "day": {"en": "Day", "pt": "Dia"},
    "week": {"en": "Week of", "pt": "Semana de"},
    "volume_title": {"en": "Weekly volume and time in zones", "pt": "Volume semanal e tempo por zona"},
    "volume_alt": {
        "en": "Kilometres by week, weeks shown: {count}. Mean of the last four full weeks: {recent} km; of the 52 "
        "before {day}: {year} km.",
        "pt": "Quilômetros por semana, semanas mostradas: {count}. Média das últimas quatro semanas completas: "
        "{recent} km; das 52 antes de {day}: {year} km.",
    },
    "km": {"en": "km", "pt": "km"},
    "hours": {"en": "Hours", "pt": "Horas"},
    "mean_4": {"en": "mean of 4 weeks", "pt": "média de 4 semanas"},
    "zone": {"en": "Zone {number}", "pt": "Zona {number}"},
    "zone_bounds": {
        "en": "Zones by share of the highest heart rate: 60, 70, 80 and 90 %.",
        "pt": "Zonas pela fração da frequência cardíaca máxima: 60, 70, 80 e 90 %.",
    },
    "no_heart_rate": {"en": "no heart rate", "pt": "sem frequência cardíaca"},
    "zones_alt": {"en": "Hours in each heart-rate zone by week.", "pt": "Horas em cada zona cardíaca por semana."},
    "calendar_title": {"en": "Load calendar", "pt": "Calendário de carga"},
    "calendar_alt": {
        "en": "Load of each day of the last year: days with activity {active}, rest days {rest}; highest load {best} "
        "on {best_day}.",
        "pt": "Carga de cada dia do último ano: dias com atividade {active}, de descanso {rest}; maior carga {best} em "
        "{best_day}.",
    },
    "load": {"en": "Load", "pt": "Carga"},
    "rest_day": {"en": "rest day", "pt": "descanso"},
    "active_days": {"en": "Active days", "pt": "Dias ativos"},
    "easy_title": {"en": "Easy running: pace and heart rate", "pt": "Corrida leve: ritmo e frequência cardíaca"},
    "easy_lead": {
        "en": "Runs of at least 20 minutes with a mean heart rate below 80 % of the highest. Faster at the same heart "
        "rate is fitter.",
        "pt": "Corridas de pelo menos 20 minutos com frequência média abaixo de 80 % da máxima. Mais rápido com a "
        "mesma frequência é melhor.",
    },
    "easy_alt": {
        "en": "Pace and heart rate of easy runs ({count}), with monthly medians. First month: {first}; last month: "
        "{last}.",
        "pt": "Ritmo e frequência cardíaca de corridas leves ({count}), com medianas mensais. Primeiro mês: {first}; "
        "último mês: {last}.",
    },
    "easy_none": {
        "en": "Not known: no run of the last two years has both a heart rate and a known highest heart rate.",
        "pt": "Desconhecido: nenhuma corrida dos últimos dois anos tem frequência cardíaca e máxima conhecida.",
    },
    "runs": {"en": "Runs", "pt": "Corridas"},
    "pace": {"en": "Pace", "pt": "Ritmo"},
    "pace_unit": {"en": "min/km", "pt": "min/km"},
    "heart_rate": {"en": "Heart rate", "pt": "Frequência cardíaca"},
    "bpm": {"en": "bpm", "pt": "bpm"},
    "each_run": {"en": "each run", "pt": "cada corrida"},
    "monthly_median": {"en": "monthly median", "pt": "mediana mensal"},
    # predictions
    "predictions_title": {"en": "Race predictions", "pt": "Previsões de prova"},
    "predictions_lead": {
        "en": "The interval is made to hold 8 of 10 races run flat out; 1 of 10 would be faster, 1 of 10 slower.",
        "pt": "O intervalo é feito para conter 8 de 10 provas corridas no máximo; 1 de 10 seria mais rápida, 1 de 10 "
        "mais lenta.",
    },
    "served_model": {"en": "From the learned model, version {version}.", "pt": "Do modelo treinado, versão {version}."},
    "served_baseline": {
        "en": "From the formula (Riegel from the best recent run), version {version}.",
        "pt": "Da fórmula (Riegel a partir da melhor corrida recente), versão {version}.",
    },
    "served_population": {
        "en": "From the population line (made on public runners), version {version}.",
        "pt": "Da linha da população (feita com corredores públicos), versão {version}.",
    },
    "predictions_none": {
        "en": "Not known: no run of at least 3 km that could carry a prediction, or no model has been trained yet.",
        "pt": "Desconhecido: nenhuma corrida de pelo menos 3 km que sustente uma previsão, ou nenhum modelo treinado.",
    },
    "distance": {"en": "Distance", "pt": "Distância"},
    "5k": {"en": "5 km", "pt": "5 km"},
    "10k": {"en": "10 km", "pt": "10 km"},
    "half": {"en": "Half marathon", "pt": "Meia maratona"},
    "marathon": {"en": "Marathon", "pt": "Maratona"},
    "1k": {"en": "1 km", "pt": "1 km"},
    "mile": {"en": "1 mile", "pt": "1 milha"},
    "400m": {"en": "400 m", "pt": "400 m"},
    "800m": {"en": "800 m", "pt": "800 m"},
    "3k": {"en": "3 km", "pt": "3 km"},
    "15k": {"en": "15 km", "pt": "15 km"},
    "predicted": {"en": "Predicted", "pt": "Previsto"},
    "interval_80": {"en": "80 % interval", "pt": "Intervalo de 80 %"},
    "best": {"en": "Best", "pt": "Recorde"},
    "why": {"en": "What moved the 10 km prediction", "pt": "O que moveu a previsão de 10 km"},
    "fan_title": {"en": "Predicted pace by distance", "pt": "Ritmo previsto por distância"},
    "fan_alt": {
        "en": "Predicted pace over the four distances with the 80 % interval; the table above has the times.",
        "pt": "Ritmo previsto nas quatro distâncias com intervalo de 80 %; a tabela acima tem os tempos.",
    },
    "history_title": {"en": "How the prediction moved", "pt": "Como a previsão mudou"},
    "history_alt": {
        "en": "Predicted time by day with the 80 % interval, from {first} to {last}.",
        "pt": "Tempo previsto por dia com intervalo de 80 %, de {first} a {last}.",
    },
    "history_short": {
        "en": "Only one day has been predicted so far: the history begins on {day}.",
        "pt": "Só um dia foi previsto até agora: o histórico começa em {day}.",
    },
    "time": {"en": "Time", "pt": "Tempo"},
    "outcomes_title": {"en": "Predicted against run", "pt": "Previsto contra corrido"},
    "outcomes_lead": {
        "en": "In the interval predicted before the effort: {inside} of {count}; mean error {error}.",
        "pt": "No intervalo previsto antes do esforço: {inside} de {count}; erro médio {error}.",
    },
    "outcomes_backfilled": {
        "en": "All of these predictions were made after the efforts: they are shown, and not judged.",
        "pt": "Todas estas previsões foram feitas depois dos esforços: são mostradas, e não avaliadas.",
    },
    "predicted_later": {"en": "predicted later", "pt": "previsto depois"},
    "outcomes_none": {
        "en": "Not known yet: no effort at a race distance has come after a prediction of it.",
        "pt": "Ainda desconhecido: nenhum esforço em distância de prova veio depois de uma previsão.",
    },
    "outcomes_alt": {
        "en": "Error of each prediction against the time run, in per cent; above zero the athlete ran faster.",
        "pt": "Erro de cada previsão contra o tempo corrido, em por cento; acima de zero o atleta foi mais rápido.",
    },
    "run_time": {"en": "Run", "pt": "Corrido"},
    "error": {"en": "Error", "pt": "Erro"},
    "in_interval": {"en": "In the interval", "pt": "No intervalo"},
    "outside_interval": {"en": "Outside the interval", "pt": "Fora do intervalo"},
    "yes": {"en": "yes", "pt": "sim"},
    "no": {"en": "no", "pt": "não"},
    # records, thresholds, quality
    "records_title": {"en": "Records", "pt": "Recordes"},
    "records_lead": {
        "en": "Best of whole runs near the distance and of parts of runs, where recordings are known.",
        "pt": "Melhor de corridas inteiras perto da distância e de trechos, onde há gravações.",
    },
    "vdot": {"en": "VDOT of the best recent run", "pt": "VDOT da melhor corrida recente"},
    "age_grade": {"en": "Age grade", "pt": "Pontuação por idade"},
    "age_grade_at": {"en": "{grade} over {distance}", "pt": "{grade} em {distance}"},
    "age_grade_unknown": {
        "en": "not known: needs sex and year of birth, and a best from 5 km up",
        "pt": "desconhecida: precisa de sexo, ano de nascimento e um recorde a partir de 5 km",
    },
    "streak": {"en": "Weeks in a row with an activity", "pt": "Semanas seguidas com atividade"},
    "consistency": {"en": "Active of the expected days, 30 days", "pt": "Dias ativos dos esperados, 30 dias"},
    "basis": {
        "en": "It starts from {distance} km in {time} on {day}.",
        "pt": "Parte de {distance} km em {time} em {day}.",
    },
    "records_none": {"en": "None yet.", "pt": "Nenhum ainda."},
    "thresholds_title": {"en": "Threshold and highest heart rate", "pt": "Limiar e frequência máxima"},
    "threshold_pace": {"en": "Threshold pace", "pt": "Ritmo de limiar"},
    "hr_max": {"en": "Highest heart rate", "pt": "Frequência cardíaca máxima"},
    "rests_on": {"en": "Rests on", "pt": "Baseado em"},
    "value": {"en": "Value", "pt": "Valor"},
    "source_athlete": {"en": "the athlete's own statement", "pt": "declaração do próprio atleta"},
    "source_critical_speed": {
        "en": "critical speed from efforts of the last 90 days",
        "pt": "velocidade crítica dos esforços dos últimos 90 dias",
    },
    "source_best_effort": {
        "en": "the best effort of 20 to 60 minutes of the last 90 days",
        "pt": "o melhor esforço de 20 a 60 minutos dos últimos 90 dias",
    },
    "source_default": {"en": "a default: nothing better is known", "pt": "um padrão: nada melhor é conhecido"},
    "source_observed": {"en": "observed over the last year", "pt": "observada no último ano"},
    "source_age": {"en": "the age (208 − 0.7 × age)", "pt": "a idade (208 − 0,7 × idade)"},
    "quality_title": {"en": "Data quality", "pt": "Qualidade dos dados"},
    "quality_load": {"en": "Activities without a load, 365 days", "pt": "Atividades sem carga, 365 dias"},
    "quality_hr": {"en": "Activities with heart rate, 365 days", "pt": "Atividades com frequência cardíaca, 365 dias"},
    "quality_of": {"en": "{share} ({part} of {count})", "pt": "{share} ({part} de {count})"},
    "quality_rejects": {"en": "Rejected records", "pt": "Registros rejeitados"},
    "quality_rejects_none": {"en": "none", "pt": "nenhum"},
    "rejects_reason": {"en": "Rule that was broken", "pt": "Regra violada"},
    "count": {"en": "Count", "pt": "Quantidade"},
    # projection
    "projection_title": {"en": "The next 14 days", "pt": "Os próximos 14 dias"},
    "room_title": {"en": "How much today still takes", "pt": "Quanto ainda cabe hoje"},
    "room": {
        "en": "{load} TSS more, about {minutes} minutes of the usual, until {limit} is at its limit.",
        "pt": "Mais {load} TSS, cerca de {minutes} minutos do habitual, até {limit} chegar ao limite.",
    },
    "room_ramp": {"en": "the ramp", "pt": "a rampa"},
    "room_acwr": {"en": "ACWR", "pt": "o ACWR"},
    "room_hardest_day": {"en": "the hardest day of six weeks", "pt": "o dia mais duro de seis semanas"},
    "room_none": {"en": "Nothing: {limit} is at its limit already.", "pt": "Nada: {limit} já está no limite."},
    "room_warmup": {
        "en": "Not known: under 42 days of history.",
        "pt": "Desconhecido: menos de 42 dias de histórico.",
    },
    "room_unknown_load": {
        "en": "Not known: no load of the last 42 days is known.",
        "pt": "Desconhecido: nenhuma carga dos últimos 42 dias é conhecida.",
    },
    "taper": {
        "en": "Race on {day}: {load} TSS a day until its eve lead to a form of {form}; rest alone to {rest}.",
        "pt": "Prova em {day}: {load} TSS por dia até a véspera levam à forma {form}; só descanso leva a {rest}.",
    },
    "taper_rest": {
        "en": "Race on {day}: rest alone leads to a form of {rest}, below the {form} wanted.",
        "pt": "Prova em {day}: só descanso leva à forma {rest}, abaixo da desejada, {form}.",
    },
    "then": {"en": "On {day}", "pt": "Em {day}"},
    "daily_load": {"en": "Load a day", "pt": "Carga por dia"},
    "projection_none": {"en": "Not computed yet.", "pt": "Ainda não calculado."},
    "projection_alt": {
        "en": "Fitness and form of the next days by scenario; the table has the numbers.",
        "pt": "Condicionamento e forma dos próximos dias por cenário; a tabela tem os números.",
    },
    "until_today": {"en": "until today", "pt": "até hoje"},
    "scenario": {"en": "Scenario", "pt": "Cenário"},
    "scenario_rest": {"en": "at rest", "pt": "descansando"},
    "scenario_habit": {"en": "as lately", "pt": "como ultimamente"},
    "scenario_plan": {"en": "by the plan", "pt": "pelo plano"},
    # model cards
    "card_title": {"en": "{model}, version {version}", "pt": "{model}, versão {version}"},
    "card_serves": {"en": "Serves; registered on {day}", "pt": "Em uso; registrado em {day}"},
    "card_what": {"en": "What it is", "pt": "O que é"},
    "card_kind_learned": {"en": "Learned from this home's athletes.", "pt": "Treinado com os atletas desta base."},
    "card_kind_formula": {
        "en": "The formula: it serves until a learned model beats it.",
        "pt": "A fórmula: serve até que um modelo treinado a supere.",
    },
    "card_kind_population": {
        "en": "The population line, made on public runners and shipped as numbers.",
        "pt": "A linha da população, feita com corredores públicos e entregue em números.",
    },
    "card_data": {"en": "Data", "pt": "Dados"},
    "card_labels": {"en": "Labels learned from", "pt": "Rótulos de treino"},
    "card_holdout": {"en": "Labels that judged", "pt": "Rótulos de avaliação"},
    "card_kinds": {"en": "Labels by kind", "pt": "Rótulos por tipo"},
    "card_span": {"en": "Days of the labels", "pt": "Dias dos rótulos"},
    "card_athletes": {"en": "Athletes", "pt": "Atletas"},
    "card_not_recorded": {"en": "not recorded by this run", "pt": "não registrado por esta execução"},
    "card_errors": {"en": "Error by distance", "pt": "Erro por distância"},
    "card_part_holdout": {
        "en": "Newest efforts, which it has not seen",
        "pt": "Esforços mais recentes, que não foram vistos",
    },
    "card_part_unseen_athletes": {"en": "Athletes it has not seen", "pt": "Atletas que não foram vistos"},
    "card_efforts": {"en": "Efforts", "pt": "Esforços"},
    "card_mae": {"en": "Mean error", "pt": "Erro médio"},
    "card_ape": {"en": "Mean error, share", "pt": "Erro médio, fração"},
    "card_coverage": {"en": "Interval holds", "pt": "Intervalo contém"},
    "card_width": {"en": "Interval width", "pt": "Largura do intervalo"},
    "card_against": {"en": "Below bias-corrected Riegel", "pt": "Abaixo de Riegel corrigido"},
    "card_detector": {"en": "How well it tells", "pt": "Quão bem distingue"},
    "card_auc": {"en": "AUC", "pt": "AUC"},
    "card_auc_acwr": {"en": "AUC of ACWR alone", "pt": "AUC só do ACWR"},
    "card_auc_frequency": {"en": "AUC of run frequency alone", "pt": "AUC só da frequência de corridas"},
    "card_brier": {"en": "Brier score", "pt": "Escore de Brier"},
    "card_brier_base": {"en": "Brier score of the base rate", "pt": "Escore de Brier da taxa base"},
    "card_base_rate": {"en": "Share followed by a break", "pt": "Fração seguida de pausa"},
    "card_evenings": {"en": "Evenings judged", "pt": "Noites avaliadas"},
    "card_calibration": {"en": "Calibration", "pt": "Calibração"},
    "card_calibration_alt": {
        "en": "Predicted probability against the share that broke off, in tenths; on the line is right.",
        "pt": "Probabilidade prevista contra a fração que parou, em décimos; sobre a linha é correto.",
    },
    "card_observed": {"en": "Observed", "pt": "Observado"},
    "card_gate": {"en": "What the gate said", "pt": "O que a avaliação disse"},
    "card_limits": {"en": "Limits", "pt": "Limites"},
    "card_limits_time_estimator": {
        "en": "It knows what the log knows: no weather, course, illness or shoes. Efforts are chosen by how hard they "
        "were; a race on a hilly course will be slower. An athlete with little history gets the formula. Few "
        "marathons are in any log: their figures are the least certain.",
        "pt": "Sabe o que o diário sabe: nem clima, percurso, doença ou tênis. Os esforços são escolhidos pela "
        "intensidade; uma prova com subidas será mais lenta. Quem tem pouco histórico recebe a fórmula. Há poucas "
        "maratonas em qualquer diário: seus números são os menos certos.",
    },
    "card_limits_overtraining_detector": {
        "en": "A break is a week without activity for whatever reason: holidays and illness look the same. It is not "
        "an injury and not a diagnosis, and must not decide about a person.",
        "pt": "Uma pausa é uma semana sem atividade por qualquer motivo: férias e doença parecem iguais. Não é lesão "
        "nem diagnóstico, e não deve decidir sobre uma pessoa.",
    },
    "card_figures": {"en": "All figures of the run", "pt": "Todos os números da execução"},
    "card_no_figures": {
        "en": "This version was not judged on a holdout.",
        "pt": "Esta versão não foi avaliada em dados separados.",
    },
    "time_estimator": {"en": "Time estimator", "pt": "Estimador de tempo"},
    "overtraining_detector": {"en": "Detector of training breaks", "pt": "Detector de pausas no treino"},
}


@dataclass(frozen=True)
class Words:
    """The texts of one language, and how it writes numbers, days and times."""

    language: str

    @property
    def tag(self) -> str:
        return LANGUAGES[self.language]

    def __call__(self, key: str, **values: object) -> str:
        """The text; KeyError for an unknown one, or for one whose place holder got no value."""
        text = TEXTS[key][self.language]
        return text.format(**values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """The text of a key that data made up, such as a model's name; another word where there is none."""
        return self(key) if key in TEXTS else otherwise

    def number(self, value: float | None, decimals: int = 0, sign: bool = False) -> str:
        """12.3, or 12,3; with `sign` also a plus. A dash where the value is not known."""
        if value is None or value != value:
            return UNKNOWN
        text = f"{value:{'+' if sign else ''},.{decimals}f}"
        if not any(digit in text for digit in "123456789"):
            text = text.lstrip("+-")
        if self.language == "pt":
            text = text.translate(str.maketrans(",.", ".,"))
        return text.replace("-", MINUS)

    def percent(self, share: float | None, decimals: int = 0, sign: bool = False) -> str:
        return UNKNOWN if share is None else f"{self.number(100 * share, decimals, sign)} %"

    def day(self, day: date | None) -> str:
        """12 Aug 2024, or 12 ago 2024."""
        return UNKNOWN if day is None else f"{day.day} {self.month_name(day)} {day.year}"

    def month(self, day: date) -> str:
        return f"{self.month_name(day)} {day.year}"

    def month_name(self, day: date) -> str:
        return MONTHS[self.language].split()[day.month - 1]

    def time(self, seconds: float | None) -> str:
        return UNKNOWN if seconds is None else clock(seconds)

    def pace(self, minutes_per_km: float | None) -> str:
        """5:12 /km."""
        return UNKNOWN if minutes_per_km is None else f"{clock(60 * minutes_per_km)} /km"

    def change(self, seconds: float | None) -> str:
        """−0:42 for 42 s faster."""
        if seconds is None:
            return UNKNOWN
        whole = round(seconds)
        return f"{'+' if whole > 0 else MINUS if whole < 0 else '±'}{clock(abs(whole))}"

    def ago(self, days: int) -> str:
        return self("today") if days == 0 else self("day_ago") if days == 1 else self("days_ago", count=days)
