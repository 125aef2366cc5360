<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>rsgeo</name>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{name} is no file. Save it as a GeoTIFF first (Export &gt; Save As).</source>
        <translation>{name} ist keine Datei. Speichern Sie den Layer zuerst als GeoTIFF (Export &gt; Speichern als).</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{label}: {name} has a CRS or no data value that was set in QGIS and is not in the file. {advice}</source>
        <translation>{label}: {name} hat ein KBS oder einen Leerwert, die in QGIS gesetzt wurden und nicht in der Datei stehen. {advice}</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>Save the layer as a file with them first (Export &gt; Save As), or take them back.</source>
        <translation>Speichern Sie den Layer zuerst damit als Datei (Export &gt; Speichern als), oder nehmen Sie beides zurück.</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{label}: the layer has no features.</source>
        <translation>{label}: Der Layer hat keine Objekte.</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{label}: {item} is not NAME=NUMBER, counted from 1; for example B04=3,B03=2,B02=1.</source>
        <translation>{label}: {item} hat nicht die Form NAME=NUMMER, gezählt ab 1; zum Beispiel B04=3,B03=2,B02=1.</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{label}: {name} of {key} is neither a raster layer nor a file.</source>
        <translation>{label}: {name} zu {key} ist weder ein Rasterlayer noch eine Datei.</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{label}: {text} is neither SCALE nor SCALE,OFFSET; for example 0.0001,-0.1.</source>
        <translation>{label}: {text} ist weder SCALE noch SCALE,OFFSET; zum Beispiel 0.0001,-0.1.</translation>
    </message>
    <message>
        <location filename="../algorithms/kinds.py"/>
        <source>{label}: {text} is no size; for example 2GB or 512MiB.</source>
        <translation>{label}: {text} ist keine Größenangabe; zum Beispiel 2GB oder 512MiB.</translation>
    </message>
    <message>
        <location filename="../algorithms/narration.py"/>
        <source>Running on {device}.</source>
        <translation>Läuft auf {device}.</translation>
    </message>
    <message>
        <location filename="../algorithms/narration.py"/>
        <source>{done:.1f} of {total:.1f} {unit}, {left:.0f} s left</source>
        <translation>{done:.1f} von {total:.1f} {unit}, noch {left:.0f} s</translation>
    </message>
    <message>
        <location filename="../algorithms/narration.py"/>
        <source>{seconds:.1f} s, {speed:.2f} megapixels per second on {device}.</source>
        <translation>{seconds:.1f} s, {speed:.2f} Megapixel je Sekunde auf {device}.</translation>
    </message>
    <message>
        <location filename="../algorithms/scene_algorithm.py"/>
        <source>Choose a model: {name} comes from a service, and is read at the model&apos;s resolution.</source>
        <translation>Wählen Sie ein Modell: {name} kommt von einem Dienst und wird in der Auflösung des Modells gelesen.</translation>
    </message>
    <message>
        <location filename="../algorithms/scene_algorithm.py"/>
        <source>The environment cannot read this format, so QGIS exports the layer.</source>
        <translation>Die Umgebung kann dieses Format nicht lesen, darum exportiert QGIS den Layer.</translation>
    </message>
    <message>
        <location filename="../algorithms/scene_algorithm.py"/>
        <source>Say which sensor the scene itself is (SENSOR), such as s2.</source>
        <translation>Geben Sie an, welcher Sensor die Szene selbst ist (SENSOR), etwa s2.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Set up the environment</source>
        <translation>Umgebung einrichten</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Installation</source>
        <translation>Installation</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Makes the Python environment in which rsgeo runs models: a folder of its own in your local data. Nothing is installed into the Python of QGIS. About 150 MB are downloaded and 600 MB are needed on the disk. At the end a small model is run as a self-test.

create makes it anew, upgrade makes that of this plugin&apos;s version and removes older ones, verify runs the self-test, remove takes everything away.

Without a network, choose the source wheelhouse and a folder that &apos;make wheelhouse&apos; has filled on a machine with the same system and Python version. Proxies are taken from the settings of QGIS.</source>
        <translation>Legt die Python-Umgebung an, in der rsgeo Modelle ausführt: ein eigener Ordner in Ihren lokalen Daten. In das Python von QGIS wird nichts installiert. Etwa 150 MB werden heruntergeladen, auf der Platte sind 600 MB nötig. Zum Schluss läuft ein kleines Modell als Selbsttest.

create legt die Umgebung neu an, upgrade legt die zur Version dieser Erweiterung passende an und entfernt ältere, verify führt den Selbsttest aus, remove löscht alles.

Ohne Netz wählen Sie die Quelle wheelhouse und einen Ordner, den &apos;make wheelhouse&apos; auf einem Rechner mit gleichem System und gleicher Python-Version gefüllt hat. Proxys werden aus den Einstellungen von QGIS übernommen.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>What to do</source>
        <translation>Aktion</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>create, upgrade, verify or remove.</source>
        <translation>create, upgrade, verify oder remove.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Where rsgeo comes from</source>
        <translation>Quelle von rsgeo</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>The package index, a wheelhouse (a folder with all packages, offline), or a checkout of rsgeo.</source>
        <translation>Der Paketindex, ein Wheelhouse (ein Ordner mit allen Paketen, offline) oder ein Checkout von rsgeo.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Folder of the wheelhouse or checkout</source>
        <translation>Ordner des Wheelhouse oder des Checkouts</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Needed for wheelhouse and checkout, not read for index.</source>
        <translation>Nötig für wheelhouse und checkout, bei index ohne Bedeutung.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Variant</source>
        <translation>Variante</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>cpu works everywhere. gpu is larger and needs an NVIDIA card with CUDA and cuDNN.</source>
        <translation>cpu läuft überall. gpu ist größer und braucht eine NVIDIA-Karte mit CUDA und cuDNN.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Tool</source>
        <translation>Werkzeug</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>auto takes pip where a Python has it, else uv. uv is fetched if it is missing and can bring a Python.</source>
        <translation>auto nimmt pip, wo ein Python es hat, sonst uv. Fehlt uv, wird es geholt; es kann ein Python mitbringen.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Python to make it from</source>
        <translation>Python, aus dem sie entsteht</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>An interpreter of version 3.10 or newer. Empty: the best that is found.</source>
        <translation>Ein Interpreter der Version 3.10 oder neuer. Leer: der beste, der gefunden wird.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Interpreter of the environment</source>
        <translation>Interpreter der Umgebung</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Run it with ACTION=create.</source>
        <translation>Starten Sie es mit ACTION=create.</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>Running the self-test</source>
        <translation>Selbsttest läuft</translation>
    </message>
    <message>
        <location filename="../algorithms/setup.py"/>
        <source>The self-test passed on {device}.</source>
        <translation>Selbsttest bestanden auf {device}.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Map a scene with a model</source>
        <translation>Szene mit einem Modell kartieren</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Runs a model over a scene of any size and writes a georeferenced map: classes, segmentation, embeddings or values. Without a model, the built-in one that fits the scene&apos;s bands and ground resolution is taken. The map lies on the scene&apos;s own grid (models that classify windows: one cell per stride), 0 is no data, classes count from 1. It appears under its name only when it is whole, with a QGIS style beside it. Bands, units and resolution that do not fit the model are refused with the reason. Memory does not grow with the scene, and a cancelled run stops within two seconds.</source>
        <translation>Wendet ein Modell auf eine beliebig große Szene an und schreibt eine georeferenzierte Karte: Klassen, Segmentierung, Embeddings oder Werte. Ohne Angabe wird das mitgelieferte Modell genommen, das zu Kanälen und Bodenauflösung der Szene passt. Die Karte liegt auf dem Pixelraster der Szene (bei Modellen, die Fenster klassifizieren: eine Zelle je Schrittweite), 0 ist NoData, Klassen zählen ab 1. Unter ihrem Namen erscheint sie erst, wenn sie vollständig ist, mit einem QGIS-Stil daneben. Kanäle, Einheiten und Auflösungen, die nicht zum Modell passen, werden mit Begründung abgelehnt. Der Speicherbedarf wächst nicht mit der Szene, und ein abgebrochener Lauf endet binnen zwei Sekunden.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Scene</source>
        <translation>Szene</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The raster layer or file. Layers of web services (WMS, XYZ) are exported first, at the model&apos;s ground resolution.</source>
        <translation>Rasterlayer oder Datei. Layer von Webdiensten (WMS, XYZ) werden zuerst in der Bodenauflösung des Modells exportiert.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Band numbers</source>
        <translation>Kanalnummern</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Which band of the scene is which band of the model, where names do not say: B04=3,B03=2,B02=1. Counted from 1.</source>
        <translation>Welcher Kanal der Szene welcher Kanal des Modells ist, wenn die Namen es nicht sagen: B04=3,B03=2,B02=1. Gezählt ab 1.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Extent</source>
        <translation>Ausdehnung</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Only this part of the scene, in any CRS. Empty: all of it.</source>
        <translation>Nur dieser Teil der Szene, in beliebigem KBS. Leer: die ganze Szene.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Polygons to keep</source>
        <translation>Maskenpolygone</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Only inside these polygons, in any CRS; cells whose centre is outside become no data.</source>
        <translation>Nur innerhalb dieser Polygone, in beliebigem KBS; Zellen, deren Mittelpunkt außerhalb liegt, werden NoData.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Pixels per cell</source>
        <translation>Pixel je Zelle</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>For models that classify windows: pixels of the scene per cell of the map. Smaller is finer and takes longer. Empty: what the model recommends.</source>
        <translation>Für Modelle, die Fenster klassifizieren: Pixel der Szene je Zelle der Karte. Kleiner ist feiner und dauert länger. Leer: Empfehlung des Modells.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Map</source>
        <translation>Karte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The map, a cloud-optimised GeoTIFF.</source>
        <translation>Die Karte, ein Cloud-optimiertes GeoTIFF.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Probabilities</source>
        <translation>Wahrscheinlichkeiten</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>One band per class.</source>
        <translation>Ein Kanal je Klasse.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Confidence</source>
        <translation>Konfidenz</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Probability of the class that was mapped.</source>
        <translation>Wahrscheinlichkeit der kartierten Klasse.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Entropy</source>
        <translation>Entropie</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>How undecided the model is, from 0 (sure) to 1.</source>
        <translation>Wie unentschieden das Modell ist, von 0 (sicher) bis 1.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Polygons</source>
        <translation>Polygone</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The classes as polygons, along the edges of the pixels.</source>
        <translation>Die Klassen als Polygone entlang der Pixelkanten.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Device that ran</source>
        <translation>Verwendetes Gerät</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Seconds</source>
        <translation>Sekunden</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Find objects with a detector</source>
        <translation>Objekte mit einem Detektor finden</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Runs a detector over a scene of any size and writes its objects, each once whatever tiles it lies in: a polygon, class and score each, in the scene&apos;s CRS. A GeoPackage has their boxes as a second layer. Objects without data, and those whose centre lies outside the extent or the polygons, are left out.</source>
        <translation>Lässt einen Detektor über eine beliebig große Szene laufen und schreibt seine Objekte, jedes einmal, gleich in welchen Kacheln es liegt: je ein Polygon mit Klasse und Wert, im KBS der Szene. Ein GeoPackage hat ihre Rechtecke als zweiten Layer. Objekte ohne Daten, oder deren Mitte außerhalb der Ausdehnung oder der Polygone liegt, bleiben weg.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Lowest score</source>
        <translation>Niedrigster Wert</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Leave out objects that are less sure, 0 to 1. Empty: what the model recommends.</source>
        <translation>Objekte weglassen, die weniger sicher sind, 0 bis 1. Leer: was das Modell empfiehlt.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Objects</source>
        <translation>Objekte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>GeoPackage, FlatGeobuf or GeoJSON.</source>
        <translation>GeoPackage, FlatGeobuf oder GeoJSON.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Number of objects</source>
        <translation>Anzahl der Objekte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A built-in model, or one of your own by name; auto takes the one that fits the scene.</source>
        <translation>Ein mitgeliefertes Modell oder ein eigenes, beim Namen genannt; auto nimmt das zur Szene passende.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Model file</source>
        <translation>Modelldatei</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>An ONNX file with an rsgeo card or Deepness keys, instead of the model above.</source>
        <translation>Eine ONNX-Datei mit rsgeo-Modellkarte oder Deepness-Angaben, anstelle des Modells oben.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Further sensors</source>
        <translation>Weitere Sensoren</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>For models of several sensors: a sensor&apos;s key and a raster layer or file of it, a row each; a sensor may have several, such as the bands of 10 m and of 20 m. Resolutions, extents and CRSs may differ. The scene above is then the sensor named below.</source>
        <translation>Für Modelle mit mehreren Sensoren: je Zeile der Schlüssel eines Sensors und ein Rasterlayer oder eine Datei davon; ein Sensor kann mehrere haben, etwa die Kanäle zu 10 m und zu 20 m. Auflösung, Ausdehnung und KBS dürfen verschieden sein. Die Szene oben ist dann der unten genannte Sensor.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Sensor of the scene</source>
        <translation>Sensor der Szene</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>For models of several sensors: which of them the scene above is, such as s2.</source>
        <translation>Für Modelle mit mehreren Sensoren: welcher davon die Szene oben ist, etwa s2.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Grid of the map</source>
        <translation>Raster der Karte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A sensor&apos;s key, or a raster file, whose pixels the map shall have. Empty: the finest raster of the model&apos;s first sensor.</source>
        <translation>Der Schlüssel eines Sensors oder eine Rasterdatei, deren Pixel die Karte haben soll. Leer: das feinste Raster des ersten Sensors des Modells.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Resampling</source>
        <translation>Umrechnung auf das Raster</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>How rasters on other pixels than the map&apos;s are brought to them; auto takes what the model declares.</source>
        <translation>Wie Raster mit anderen Pixeln auf die der Karte gebracht werden; auto nimmt, was das Modell angibt.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Task</source>
        <translation>Aufgabe</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>What to compute, for models with several outputs.</source>
        <translation>Was berechnet wird, bei Modellen mit mehreren Ausgaben.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Output of the model</source>
        <translation>Ausgabe des Modells</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>By name, where several serve the task.</source>
        <translation>Beim Namen, wenn mehrere zur Aufgabe passen.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Tile side</source>
        <translation>Kachelgröße</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Pixels. Empty: chosen.</source>
        <translation>Kantenlänge in Pixeln. Leer: automatisch.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Halo</source>
        <translation>Kachelrand</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Context around each tile&apos;s result, pixels. Empty: what the model needs to leave no seams.</source>
        <translation>Kontext um das Ergebnis jeder Kachel, in Pixeln. Leer: so viel, wie das Modell braucht, damit keine Nähte bleiben.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Joining of tiles</source>
        <translation>Zusammenfügen der Kacheln</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>exact keeps each tile&apos;s core, hann blends overlapping tiles; auto takes what the model needs.</source>
        <translation>exact behält den Kern jeder Kachel, hann überblendet die Überlappung; auto nimmt, was das Modell braucht.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Storage of embeddings and probabilities</source>
        <translation>Speicherung von Embeddings und Wahrscheinlichkeiten</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The rule back to numbers is in the file (scale and offset).</source>
        <translation>Die Rückrechnung steht in der Datei (Skalierung und Versatz).</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>No data value</source>
        <translation>NoData-Wert</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A value of the scene that means no data, beside what the file declares.</source>
        <translation>Ein Wert der Szene, der NoData bedeutet, zusätzlich zu den Angaben der Datei.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>No data rule</source>
        <translation>NoData-Regel</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A pixel has no data where any, or where all, of the bands have none.</source>
        <translation>Ein Pixel ist NoData, wenn einer (any) oder wenn alle (all) Kanäle dort keinen Wert haben.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Scale of values</source>
        <translation>Skalierung der Werte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>SCALE or SCALE,OFFSET: physical value = stored · SCALE + OFFSET, where the file does not say. Reflectance of 0 to 1: 1.</source>
        <translation>SCALE oder SCALE,OFFSET: physikalischer Wert = gespeicherter Wert · SCALE + OFFSET, wenn die Datei es nicht angibt. Reflexionsgrad von 0 bis 1: 1.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Device</source>
        <translation>Gerät</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>auto takes a GPU if there is one; a device that is named and not there is an error.</source>
        <translation>auto nimmt eine GPU, wenn es eine gibt; ein genanntes Gerät, das fehlt, ist ein Fehler.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Batch</source>
        <translation>Stapel</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Tiles or windows run together. Empty: chosen.</source>
        <translation>Kacheln oder Fenster, die gemeinsam gerechnet werden. Leer: automatisch.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Memory</source>
        <translation>Arbeitsspeicher</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Working memory to plan for, such as 2GB.</source>
        <translation>Eingeplanter Arbeitsspeicher, etwa 2GB.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Threads</source>
        <translation>Threads</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Of the CPU; 0 takes all cores.</source>
        <translation>Der CPU; 0 nimmt alle Kerne.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Resume</source>
        <translation>Fortsetzen</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Go on with a run of the same output that was cancelled or killed, and keep what is finished when this one is.</source>
        <translation>Setzt einen abgebrochenen oder beendeten Lauf mit derselben Ausgabe fort und behält bei einem Abbruch, was schon fertig ist.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Take what does not fit</source>
        <translation>Unpassendes annehmen</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Values and resolutions that the model was not made for.</source>
        <translation>Werte und Auflösungen, für die das Modell nicht gemacht ist.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Limit of exported tiles</source>
        <translation>Höchstzahl exportierter Kacheln</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>For layers of web services: the most tiles of 256 × 256 pixels to ask for.</source>
        <translation>Für Layer von Webdiensten: wie viele Kacheln zu 256 × 256 Pixeln höchstens abgerufen werden.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Class map to polygons</source>
        <translation>Klassenkarte in Polygone umwandeln</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Turns the areas of a class map into polygons with value, class name, number of pixels and area in m². An area is made of pixels of one class that touch along their edges; outlines run along pixel edges. Memory does not grow with the map.</source>
        <translation>Wandelt die Flächen einer Klassenkarte in Polygone mit Wert, Klassenname, Pixelzahl und Fläche in m² um. Eine Fläche besteht aus Pixeln einer Klasse, die sich entlang ihrer Kanten berühren; die Umrisse folgen den Pixelkanten. Der Speicherbedarf wächst nicht mit der Karte.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Class map</source>
        <translation>Klassenkarte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>0 and no data belong to no polygon.</source>
        <translation>0 und NoData gehören zu keinem Polygon.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Classes</source>
        <translation>Klassen</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Keep these only, by name or value, with commas between.</source>
        <translation>Nur diese behalten, mit Namen oder Wert, durch Kommas getrennt.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Smallest area (m²)</source>
        <translation>Mindestfläche (m²)</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Leave out smaller ones; m² on the ground.</source>
        <translation>Kleinere werden weggelassen; m² am Boden.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Simplification tolerance (map units)</source>
        <translation>Toleranz der Vereinfachung (Karteneinheiten)</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Neighbours keep their common edges. Empty: pixel edges.</source>
        <translation>Nachbarn behalten gemeinsame Kanten. Leer: Pixelkanten.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Number of polygons</source>
        <translation>Anzahl der Polygone</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Area of each class</source>
        <translation>Fläche je Klasse</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Pixels, area (m², hectares, km²) and share of each class, of the map or of each polygon. A pixel belongs to a polygon when its centre is inside. Areas are true areas on the ellipsoid for maps in degrees and in projections that distort areas, else pixel counts times pixel size; the report says which.</source>
        <translation>Pixel, Fläche (m², Hektar, km²) und Anteil jeder Klasse, für die Karte oder je Polygon. Ein Pixel gehört zu einem Polygon, wenn sein Mittelpunkt darin liegt. Bei Karten in Grad und in nicht flächentreuen Projektionen sind es wahre Flächen auf dem Ellipsoid, sonst Pixelzahl mal Pixelgröße; der Bericht nennt, was gilt.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>0 and no data count nowhere.</source>
        <translation>0 und NoData zählen nirgends mit.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Count within each of them, in any CRS. Empty: the whole map.</source>
        <translation>Gezählt wird in jedem davon, in beliebigem KBS. Leer: die ganze Karte.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Column that names a zone</source>
        <translation>Spalte mit dem Namen der Zone</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Polygons of one name are one zone. Empty: every polygon is its own.</source>
        <translation>Polygone gleichen Namens bilden eine Zone. Leer: jedes Polygon ist eine eigene.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Table</source>
        <translation>Tabelle</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A row per zone and class.</source>
        <translation>Eine Zeile je Zone und Klasse.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Report</source>
        <translation>Bericht</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The table to read.</source>
        <translation>Die Tabelle zum Lesen.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Number of zones</source>
        <translation>Anzahl der Zonen</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>How areas were computed</source>
        <translation>Art der Flächenberechnung</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Accuracy of a class map</source>
        <translation>Genauigkeit einer Klassenkarte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Compares a class map with reference data: confusion matrix, accuracy per class, and the area of each class with 95 % intervals (Olofsson et al. 2014). Classes match by name, or by value where the reference has numbers only. Pixels without a class in the map or a label in the reference are left out.</source>
        <translation>Vergleicht eine Klassenkarte mit Referenzdaten: Konfusionsmatrix, Genauigkeit je Klasse und Fläche je Klasse mit 95-%-Intervallen (Olofsson et al. 2014). Klassen werden über den Namen zugeordnet oder über den Wert, wenn die Referenz nur Zahlen hat. Pixel ohne Klasse in der Karte oder ohne Label in der Referenz bleiben außen vor.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The map to judge.</source>
        <translation>Die zu beurteilende Karte.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Reference polygons or points</source>
        <translation>Referenzpolygone oder -punkte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>What is known, with a column of class names or values; any CRS.</source>
        <translation>Was bekannt ist, mit einer Spalte für Klassennamen oder -werte; beliebiges KBS.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Column of the class</source>
        <translation>Spalte der Klasse</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Class names or values.</source>
        <translation>Klassennamen oder -werte.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Reference raster</source>
        <translation>Referenzraster</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Labels on any grid, instead of polygons or points.</source>
        <translation>Labels auf beliebigem Raster, anstelle von Polygonen oder Punkten.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Classes of the map that count as</source>
        <translation>Zusammenfassung von Klassen der Karte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A row each: class of the map, class it counts as. Several may join one; empty leaves it out.</source>
        <translation>Je Zeile: Klasse der Karte und die Klasse, als die sie zählt. Mehrere können zu einer werden; leer lässt sie weg.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Labels of the reference that count as</source>
        <translation>Zuordnung der Labels der Referenz</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A row each: label of the reference, class of the map; empty leaves it out.</source>
        <translation>Je Zeile: Label der Referenz und Klasse der Karte; leer lässt es weg.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Resamples</source>
        <translation>Bootstrap-Stichproben</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Of whole polygons, or blocks of a raster, for intervals; 0 for none.</source>
        <translation>Aus ganzen Polygonen oder Blöcken eines Rasters, für die Intervalle; 0 für keine.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A folder with index.html, metrics.json and confusion.csv.</source>
        <translation>Ein Ordner mit index.html, metrics.json und confusion.csv.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Overall accuracy of the samples</source>
        <translation>Gesamtgenauigkeit der Stichproben</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Number of samples</source>
        <translation>Anzahl der Stichproben</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Picture of a map</source>
        <translation>Bild einer Karte</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Draws a map as a PNG: classes with colours, names and shares, with scale and north; other maps with a colour ramp, embeddings by their first three principal components.</source>
        <translation>Zeichnet eine Karte als PNG: Klassen mit Farben, Namen und Anteilen, mit Maßstab und Nordpfeil; andere Karten mit Farbverlauf, Embeddings mit ihren ersten drei Hauptkomponenten.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A class map, probabilities, embedding or any raster.</source>
        <translation>Klassenkarte, Wahrscheinlichkeiten, Embedding oder ein beliebiges Raster.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Shown beside the map.</source>
        <translation>Wird neben der Karte gezeigt.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Width (pixels)</source>
        <translation>Breite (Pixel)</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Of the whole picture.</source>
        <translation>Des ganzen Bildes.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Title</source>
        <translation>Titel</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>By default the file&apos;s name.</source>
        <translation>Vorgabe: der Name der Datei.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Picture</source>
        <translation>Bild</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>A PNG file.</source>
        <translation>Eine PNG-Datei.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Describe a model</source>
        <translation>Modell beschreiben</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Shows a model&apos;s card: bands, units, ground resolution, classes, context, scores with intervals and the data they were measured on, cautions, licence.</source>
        <translation>Zeigt die Modellkarte: Kanäle, Einheiten, Bodenauflösung, Klassen, Kontext, Gütemaße mit Intervallen und den Daten, an denen sie gemessen wurden, Hinweise, Lizenz.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The card to read.</source>
        <translation>Die Modellkarte zum Lesen.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Description</source>
        <translation>Beschreibung</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Diagnose the installation</source>
        <translation>Installation prüfen</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Says what the environment has: versions, devices, models, and whether each model gives its stored result. Names of your folders are left out, so that the text can be shown to others.</source>
        <translation>Sagt, was die Umgebung hat: Versionen, Geräte, Modelle, und ob jedes Modell sein gespeichertes Ergebnis liefert. Die Namen Ihrer Ordner werden weggelassen, damit Sie den Text weitergeben können.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Run the models&apos; self-tests</source>
        <translation>Selbsttests der Modelle ausführen</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Takes a second.</source>
        <translation>Dauert eine Sekunde.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>The text to read.</source>
        <translation>Der Text zum Lesen.</translation>
    </message>
    <message>
        <location filename="../algorithms/table.py"/>
        <source>Diagnosis</source>
        <translation>Diagnose</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Maps</source>
        <translation>Karten</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Analysis</source>
        <translation>Auswertung</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Parameters</source>
        <translation>Parameter</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>The environment is missing: make it in Settings &gt; Options &gt; rsgeo, by one click, or run rsgeo:setup.</source>
        <translation>Die Umgebung fehlt: Legen Sie sie mit einem Klick unter Einstellungen &gt; Optionen &gt; rsgeo an, oder starten Sie rsgeo:setup.</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Give one of {names}.</source>
        <translation>Geben Sie genau eines davon an: {names}.</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Cancelled; nothing was written.</source>
        <translation>Abgebrochen; es wurde nichts geschrieben.</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Cancelled.</source>
        <translation>Abgebrochen.</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Install the variant gpu: Settings &gt; Options &gt; rsgeo, or rsgeo:setup with VARIANT=gpu.</source>
        <translation>Installieren Sie die Variante gpu: Einstellungen &gt; Optionen &gt; rsgeo, oder rsgeo:setup mit VARIANT=gpu.</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Raster &gt; rsgeo &gt; Models</source>
        <translation>Raster &gt; rsgeo &gt; Modelle</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>Raster &gt; rsgeo &gt; Map a scene</source>
        <translation>Raster &gt; rsgeo &gt; Szene kartieren</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>{path} cannot be written: {why}.</source>
        <translation>{path} kann nicht geschrieben werden: {why}.</translation>
    </message>
    <message>
        <location filename="../algorithms/worker_algorithm.py"/>
        <source>The folder {folder} cannot be made: {why}.</source>
        <translation>Der Ordner {folder} kann nicht angelegt werden: {why}.</translation>
    </message>
    <message>
        <location filename="../areas.py"/>
        <source>The polygons cannot be copied: {why}</source>
        <translation>Die Polygone können nicht kopiert werden: {why}</translation>
    </message>
    <message>
        <location filename="../gui/area_choice.py"/>
        <source>Whole layer</source>
        <translation>Ganzer Layer</translation>
    </message>
    <message>
        <location filename="../gui/area_choice.py"/>
        <source>What the map canvas shows</source>
        <translation>Was das Kartenfenster zeigt</translation>
    </message>
    <message>
        <location filename="../gui/area_choice.py"/>
        <source>Inside the polygons of a layer</source>
        <translation>Innerhalb der Polygone eines Layers</translation>
    </message>
    <message>
        <location filename="../gui/area_choice.py"/>
        <source>The project has no polygon layer: add one, or choose another area.</source>
        <translation>Das Projekt hat keinen Polygonlayer: Fügen Sie einen hinzu, oder wählen Sie ein anderes Gebiet.</translation>
    </message>
    <message>
        <location filename="../gui/area_choice.py"/>
        <source>Selected features only ({count})</source>
        <translation>Nur gewählte Objekte ({count})</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>Band of the model</source>
        <translation>Band des Modells</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>Wavelength</source>
        <translation>Wellenlänge</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>Band of the scene</source>
        <translation>Band der Szene</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>Found by</source>
        <translation>Gefunden durch</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>{wavelength:.0f} nm</source>
        <translation>{wavelength:.0f} nm</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>automatic: {band}</source>
        <translation>automatisch: {band}</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>automatic</source>
        <translation>automatisch</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>not in the scene, filled</source>
        <translation>nicht in der Szene, aufgefüllt</translation>
    </message>
    <message>
        <location filename="../gui/band_table.py"/>
        <source>chosen by you</source>
        <translation>von Ihnen gewählt</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>classes of windows</source>
        <translation>Klassen von Fenstern</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>classes of pixels</source>
        <translation>Klassen von Pixeln</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>embedding</source>
        <translation>Embedding</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>values</source>
        <translation>Werte</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>any</source>
        <translation>beliebig</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>{gsd:g} m</source>
        <translation>{gsd:g} m</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>{gsd:g} m ({low:g} to {high:g} m)</source>
        <translation>{gsd:g} m ({low:g} bis {high:g} m)</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Experimental: look at the map before you rely on it.</source>
        <translation>Experimentell: Prüfen Sie die Karte, bevor Sie sich auf sie verlassen.</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Beware:</source>
        <translation>Vorsicht:</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>All bands are needed.</source>
        <translation>Alle Bänder werden gebraucht.</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Bands may be missing.</source>
        <translation>Bänder dürfen fehlen.</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Input: {sensor}</source>
        <translation>Eingabe: {sensor}</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Ground resolution: {resolution}.</source>
        <translation>Bodenauflösung: {resolution}.</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>numbers as stored</source>
        <translation>Zahlen wie gespeichert</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>{unit} × {factor}</source>
        <translation>{unit} × {factor}</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Output: {name}</source>
        <translation>Ausgabe: {name}</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>one cell for {stride} × {stride} pixels</source>
        <translation>eine Zelle für {stride} × {stride} Pixel</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>{count} numbers</source>
        <translation>{count} Zahlen</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Scores</source>
        <translation>Güte</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>The card tells none.</source>
        <translation>Die Karte des Modells nennt keine.</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Scores (95 % interval)</source>
        <translation>Güte (95-%-Intervall)</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>{count:,} samples</source>
        <translation>{count:,} Stichproben</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Method</source>
        <translation>Verfahren</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Data</source>
        <translation>Daten</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Split</source>
        <translation>Aufteilung</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Licence</source>
        <translation>Lizenz</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Cite</source>
        <translation>Zitat</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>File</source>
        <translation>Datei</translation>
    </message>
    <message>
        <location filename="../gui/card_page.py"/>
        <source>Origin</source>
        <translation>Herkunft</translation>
    </message>
    <message>
        <location filename="../gui/diagnosis.py"/>
        <source>Cop&amp;y</source>
        <translation>K&amp;opieren</translation>
    </message>
    <message>
        <location filename="../gui/diagnosis.py"/>
        <source>Asking the environment…</source>
        <translation>Die Umgebung wird gefragt…</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>&amp;Install</source>
        <translation>&amp;Installieren</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>&amp;Upgrade</source>
        <translation>&amp;Aktualisieren</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>Se&amp;lf-test</source>
        <translation>Se&amp;lbsttest</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>&amp;Remove</source>
        <translation>En&amp;tfernen</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>&amp;Cancel</source>
        <translation>A&amp;bbrechen</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>&amp;More</source>
        <translation>&amp;Mehr</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>Version</source>
        <translation>Version</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>Size</source>
        <translation>Größe</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>Interpreter</source>
        <translation>Interpreter</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>Self-test ran on</source>
        <translation>Selbsttest lief auf</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>The environment is installed.</source>
        <translation>Die Umgebung ist installiert.</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>rsgeo runs models in a Python of its own, in the folder {folder}. Nothing is installed into the Python of QGIS. About 150 MB are downloaded; 600 MB are needed on the disk.</source>
        <translation>rsgeo führt Modelle in einem eigenen Python aus, im Ordner {folder}. In das Python von QGIS wird nichts installiert. Etwa 150 MB werden heruntergeladen; auf der Festplatte werden 600 MB gebraucht.</translation>
    </message>
    <message>
        <location filename="../gui/environment_panel.py"/>
        <source>Cancelling…</source>
        <translation>Wird abgebrochen…</translation>
    </message>
    <message>
        <location filename="../gui/first_run.py"/>
        <source>Welcome to rsgeo</source>
        <translation>Willkommen bei rsgeo</translation>
    </message>
    <message>
        <location filename="../gui/first_run.py"/>
        <source>One step before the first map</source>
        <translation>Ein Schritt vor der ersten Karte</translation>
    </message>
    <message>
        <location filename="../gui/first_run.py"/>
        <source>&amp;Go on</source>
        <translation>&amp;Weiter</translation>
    </message>
    <message>
        <location filename="../gui/infer_run.py"/>
        <source>It ended without a reason; see the log.</source>
        <translation>Es endete ohne Begründung; siehe Protokoll.</translation>
    </message>
    <message>
        <location filename="../gui/installation_task.py"/>
        <source>Installing rsgeo</source>
        <translation>rsgeo wird installiert</translation>
    </message>
    <message>
        <location filename="../gui/installation_task.py"/>
        <source>Upgrading rsgeo</source>
        <translation>rsgeo wird aktualisiert</translation>
    </message>
    <message>
        <location filename="../gui/installation_task.py"/>
        <source>Removing rsgeo</source>
        <translation>rsgeo wird entfernt</translation>
    </message>
    <message>
        <location filename="../gui/installation_task.py"/>
        <source>Self-test of rsgeo</source>
        <translation>Selbsttest von rsgeo</translation>
    </message>
    <message>
        <location filename="../gui/menu.py"/>
        <source>&amp;Map a scene…</source>
        <translation>Szene &amp;kartieren…</translation>
    </message>
    <message>
        <location filename="../gui/menu.py"/>
        <source>M&amp;odels…</source>
        <translation>&amp;Modelle…</translation>
    </message>
    <message>
        <location filename="../gui/menu.py"/>
        <source>&amp;Options…</source>
        <translation>&amp;Optionen…</translation>
    </message>
    <message>
        <location filename="../gui/menu.py"/>
        <source>&amp;Diagnose the installation…</source>
        <translation>&amp;Diagnose der Installation…</translation>
    </message>
    <message>
        <location filename="../gui/model_choice.py"/>
        <source>Automatic: what fits the scene</source>
        <translation>Automatisch: was zur Szene passt</translation>
    </message>
    <message>
        <location filename="../gui/model_choice.py"/>
        <source>Model file…</source>
        <translation>Modelldatei…</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>Bands</source>
        <translation>Bänder</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>Ground resolution</source>
        <translation>Bodenauflösung</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>Where</source>
        <translation>Wo</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>built in</source>
        <translation>mitgeliefert</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>your own</source>
        <translation>eigenes</translation>
    </message>
    <message>
        <location filename="../gui/model_table.py"/>
        <source>{sensor}: {bands}</source>
        <translation>{sensor}: {bands}</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Models</source>
        <translation>Modelle</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>&amp;Add file…</source>
        <translation>Datei &amp;hinzufügen…</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Self-&amp;test</source>
        <translation>&amp;Selbsttest</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>&amp;Use…</source>
        <translation>&amp;Verwenden…</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>C&amp;lose</source>
        <translation>Sch&amp;ließen</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Asking which models there are…</source>
        <translation>Es wird gefragt, welche Modelle es gibt…</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Adding the model…</source>
        <translation>Das Modell wird hinzugefügt…</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>{name} was added.</source>
        <translation>{name} wurde hinzugefügt.</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Removing the model…</source>
        <translation>Das Modell wird entfernt…</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>{name} was removed.</source>
        <translation>{name} wurde entfernt.</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Running the self-test…</source>
        <translation>Der Selbsttest läuft…</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>{name} gives its stored result on {device}.</source>
        <translation>{name} liefert sein gespeichertes Ergebnis auf {device}.</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Choose a model to read its card.</source>
        <translation>Wählen Sie ein Modell, um seine Karte zu lesen.</translation>
    </message>
    <message>
        <location filename="../gui/models_dialog.py"/>
        <source>Remove {name}? Its file is deleted from your models.</source>
        <translation>{name} entfernen? Die Datei wird aus Ihren Modellen gelöscht.</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>the environment above</source>
        <translation>die Umgebung oben</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>all cores</source>
        <translation>alle Kerne</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Environment</source>
        <translation>Umgebung</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Interpreter of your own</source>
        <translation>Eigener Interpreter</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>A Python that has rsgeo, or its environment&apos;s folder, instead of the environment above.</source>
        <translation>Ein Python, das rsgeo hat, oder der Ordner seiner Umgebung, anstelle der Umgebung oben.</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Defaults of runs</source>
        <translation>Vorgaben für Läufe</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>De&amp;vice</source>
        <translation>&amp;Gerät</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Mem&amp;ory</source>
        <translation>S&amp;peicher</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>T&amp;hreads</source>
        <translation>T&amp;hreads</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Looking for rsgeo…</source>
        <translation>rsgeo wird gesucht…</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>No interpreter with rsgeo was found.</source>
        <translation>Es wurde kein Interpreter mit rsgeo gefunden.</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>named by the variable RSGEO_PYTHON</source>
        <translation>von der Variable RSGEO_PYTHON genannt</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>chosen here</source>
        <translation>hier gewählt</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>the system&apos;s</source>
        <translation>der des Systems</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>{python} is Python {version} without rsgeo.</source>
        <translation>{python} ist Python {version} ohne rsgeo.</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Install it there (pip install rsgeo[cpu]), or leave the field empty.</source>
        <translation>Installieren Sie es dort (pip install rsgeo[cpu]), oder lassen Sie das Feld leer.</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>Used: {python} ({source}), Python {version}, rsgeo {rsgeo}.</source>
        <translation>Benutzt: {python} ({source}), Python {version}, rsgeo {rsgeo}.</translation>
    </message>
    <message>
        <location filename="../gui/options_page.py"/>
        <source>The variable counts more than the field above.</source>
        <translation>Die Variable geht dem Feld oben vor.</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>&amp;Map</source>
        <translation>&amp;Karte</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>Con&amp;fidence</source>
        <translation>Kon&amp;fidenz</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>Pro&amp;babilities</source>
        <translation>Wahr&amp;scheinlichkeiten</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>&amp;Entropy</source>
        <translation>&amp;Entropie</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>Polygon&amp;s</source>
        <translation>Pol&amp;ygone</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>temporary file</source>
        <translation>temporäre Datei</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>{name}: confidence</source>
        <translation>{name}: Konfidenz</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>{name}: probabilities</source>
        <translation>{name}: Wahrscheinlichkeiten</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>{name}: polygons</source>
        <translation>{name}: Polygone</translation>
    </message>
    <message>
        <location filename="../gui/outputs_choice.py"/>
        <source>{name}: entropy</source>
        <translation>{name}: Entropie</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>{tiles} tiles would be asked for; the limit is {limit}. Choose a smaller area.</source>
        <translation>{tiles} Kacheln würden abgerufen; die Grenze ist {limit}. Wählen Sie ein kleineres Gebiet.</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>The layer has no file: {columns} × {rows} pixels ({tiles} tiles) are exported first. Mind the terms of the service.</source>
        <translation>Der Layer hat keine Datei: {columns} × {rows} Pixel ({tiles} Kacheln) werden zuerst exportiert. Beachten Sie die Bedingungen des Dienstes.</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>Choose them in the tab Bands, or take another model.</source>
        <translation>Wählen Sie sie unter Bänder, oder nehmen Sie ein anderes Modell.</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>unknown</source>
        <translation>unbekannt</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>{name} {version}, {title}</source>
        <translation>{name} {version}, {title}</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>{count:,} of {tile} × {tile} pixels, halo {halo}</source>
        <translation>{count:,} Kacheln von {tile} × {tile} Pixeln, Rand {halo}</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>{cells:,} windows of {window} × {window} pixels</source>
        <translation>{cells:,} Fenster von {window} × {window} Pixeln</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>{width:,} × {height:,} cells of {cell}</source>
        <translation>{width:,} × {height:,} Zellen von {cell}</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>Work</source>
        <translation>Arbeit</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>{megapixels:,.2f} megapixels; {tiles}</source>
        <translation>{megapixels:,.2f} Megapixel; {tiles}</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>at most {size}</source>
        <translation>höchstens {size}</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>about {time}</source>
        <translation>etwa {time}</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <location filename="../gui/prospect.py"/>
        <source>Bands that the scene does not have: {names}.</source>
        <translation>Bänder, die die Szene nicht hat: {names}.</translation>
    </message>
    <message>
        <location filename="../gui/result_panel.py"/>
        <source>After a run, the area of each class stands here.</source>
        <translation>Nach einem Lauf steht hier die Fläche jeder Klasse.</translation>
    </message>
    <message>
        <location filename="../gui/result_panel.py"/>
        <source>Class</source>
        <translation>Klasse</translation>
    </message>
    <message>
        <location filename="../gui/result_panel.py"/>
        <source>Hectares</source>
        <translation>Hektar</translation>
    </message>
    <message>
        <location filename="../gui/result_panel.py"/>
        <source>Share</source>
        <translation>Anteil</translation>
    </message>
    <message>
        <location filename="../gui/result_panel.py"/>
        <source>Cop&amp;y as CSV</source>
        <translation>Als CS&amp;V kopieren</translation>
    </message>
    <message>
        <location filename="../gui/result_panel.py"/>
        <source>Counting the classes…</source>
        <translation>Die Klassen werden gezählt…</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Map a scene</source>
        <translation>Szene kartieren</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Planning…</source>
        <translation>Wird geplant…</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>The model that fits the scene is chosen by the plan.</source>
        <translation>Das Modell, das zur Szene passt, wird vom Plan gewählt.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>This model has no card of its own.</source>
        <translation>Dieses Modell hat keine eigene Karte.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Starting…</source>
        <translation>Wird gestartet…</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Mapping</source>
        <translation>Kartieren</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Writing the files</source>
        <translation>Dateien werden geschrieben</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>{text}, {time} left</source>
        <translation>{text}, noch {time}</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Failed.</source>
        <translation>Fehlgeschlagen.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>The map is ready.</source>
        <translation>Die Karte ist fertig.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>The map is ready: {seconds:.1f} s, {speed:.2f} megapixels per second on {device}.</source>
        <translation>Die Karte ist fertig: {seconds:.1f} s, {speed:.2f} Megapixel je Sekunde auf {device}.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>Show log</source>
        <translation>Protokoll zeigen</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>A map is being made.</source>
        <translation>Eine Karte entsteht gerade.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>It can go on without this window; the map is added to the project when it is ready.</source>
        <translation>Es kann ohne dieses Fenster weitergehen; die Karte kommt ins Projekt, wenn sie fertig ist.</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>&amp;Go on without window</source>
        <translation>&amp;Ohne Fenster weiter</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>&amp;Cancel the run</source>
        <translation>Lauf &amp;abbrechen</translation>
    </message>
    <message>
        <location filename="../gui/run_dialog.py"/>
        <source>&amp;Back</source>
        <translation>&amp;Zurück</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>Open a raster file</source>
        <translation>Rasterdatei öffnen</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>as the model recommends</source>
        <translation>wie vom Modell empfohlen</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>For models that classify windows: smaller is finer and takes longer.</source>
        <translation>Für Modelle, die Fenster klassifizieren: kleiner ist feiner und dauert länger.</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>&amp;Take what does not fit</source>
        <translation>Auch &amp;nehmen, was nicht passt</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>S&amp;cene</source>
        <translation>S&amp;zene</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>Mo&amp;del</source>
        <translation>Mo&amp;dell</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>&amp;Area</source>
        <translation>Ge&amp;biet</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>Pi&amp;xels per cell</source>
        <translation>Pi&amp;xel je Zelle</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>What to map</source>
        <translation>Was kartiert wird</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>Files</source>
        <translation>Dateien</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>How to run</source>
        <translation>Wie es läuft</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>The project has no raster layer: open a scene.</source>
        <translation>Das Projekt hat keinen Rasterlayer: Öffnen Sie eine Szene.</translation>
    </message>
    <message>
        <location filename="../gui/run_form.py"/>
        <source>Map of {scene}</source>
        <translation>Karte von {scene}</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>Model card</source>
        <translation>Modellkarte</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>Result</source>
        <translation>Ergebnis</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>Log</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>&amp;Plan again</source>
        <translation>Neu &amp;planen</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>All pa&amp;rameters…</source>
        <translation>Alle Pa&amp;rameter…</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>The same in the dialog of the Processing toolbox, with what is rarely needed.</source>
        <translation>Dasselbe im Dialog der Verarbeitungswerkzeuge, mit allem, was selten gebraucht wird.</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>R&amp;un</source>
        <translation>&amp;Ausführen</translation>
    </message>
    <message>
        <location filename="../gui/run_layout.py"/>
        <source>Ca&amp;ncel</source>
        <translation>Abbr&amp;echen</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>package index (needs the network)</source>
        <translation>Paketindex (braucht das Netz)</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>wheelhouse: a folder with all packages</source>
        <translation>Wheelhouse: ein Ordner mit allen Paketen</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>checkout of rsgeo&apos;s repository</source>
        <translation>Checkout des Repositorys von rsgeo</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>cpu: works everywhere</source>
        <translation>cpu: geht überall</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>gpu: NVIDIA card with CUDA and cuDNN</source>
        <translation>gpu: NVIDIA-Karte mit CUDA und cuDNN</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>the best that is found</source>
        <translation>das beste, das gefunden wird</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>&amp;Source</source>
        <translation>&amp;Quelle</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>&amp;Folder</source>
        <translation>O&amp;rdner</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>&amp;Variant</source>
        <translation>&amp;Variante</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>&amp;Tool</source>
        <translation>&amp;Werkzeug</translation>
    </message>
    <message>
        <location filename="../gui/wish_form.py"/>
        <source>&amp;Python</source>
        <translation>&amp;Python</translation>
    </message>
    <message>
        <location filename="../gui/wording.py"/>
        <source>less than a second</source>
        <translation>weniger als eine Sekunde</translation>
    </message>
    <message>
        <location filename="../gui/wording.py"/>
        <source>{seconds:.0f} s</source>
        <translation>{seconds:.0f} s</translation>
    </message>
    <message>
        <location filename="../gui/wording.py"/>
        <source>{minutes:.0f} min</source>
        <translation>{minutes:.0f} min</translation>
    </message>
    <message>
        <location filename="../gui/wording.py"/>
        <source>{hours:.1f} h</source>
        <translation>{hours:.1f} h</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>The layer {name} has no extent: choose one.</source>
        <translation>Der Layer {name} hat keine Ausdehnung: wählen Sie eine.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>The model does not say its ground resolution, and {name} has none of its own.</source>
        <translation>Das Modell nennt keine Bodenauflösung, und {name} hat keine eigene.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>{name} would be exported as {columns} × {rows} pixels, {tiles} tiles; the limit is {limit}. Choose a smaller extent, or raise the limit (MAX_TILES) if the service&apos;s terms allow it.</source>
        <translation>{name} würde mit {columns} × {rows} Pixeln exportiert, das sind {tiles} Kacheln; die Grenze ist {limit}. Wählen Sie eine kleinere Ausdehnung, oder erhöhen Sie die Grenze (MAX_TILES), wenn die Bedingungen des Dienstes es erlauben.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>Exporting {name}: {columns} × {rows} pixels.</source>
        <translation>{name} wird exportiert: {columns} × {rows} Pixel.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>{tiles} tiles; mind the terms of the service.</source>
        <translation>{tiles} Kacheln; beachten Sie die Bedingungen des Dienstes.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>The layer {name} cannot be read.</source>
        <translation>Der Layer {name} kann nicht gelesen werden.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>The layer {name} could not be exported (code {code}).</source>
        <translation>Der Layer {name} konnte nicht exportiert werden (Code {code}).</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>The raster layer cannot be opened.</source>
        <translation>Der Rasterlayer kann nicht geöffnet werden.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>The open options of the layer do not count: the file is read as it is.</source>
        <translation>Die Öffnungsoptionen des Layers zählen nicht: Die Datei wird gelesen, wie sie ist.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>{name} is taken in {crs}, which was assigned to the layer.</source>
        <translation>{name} wird in {crs} verwendet, das dem Layer zugewiesen wurde.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>Band {band}: the file&apos;s no data value counts, though it is off.</source>
        <translation>Kanal {band}: Der NoData-Wert der Datei gilt, obwohl er ausgeschaltet ist.</translation>
    </message>
    <message>
        <location filename="../scenes.py"/>
        <source>Additional no data ranges of the layer do not count; one value can be given as NODATA.</source>
        <translation>Zusätzliche NoData-Bereiche des Layers zählen nicht; ein Wert kann als NODATA angegeben werden.</translation>
    </message>
</context>
</TS>
